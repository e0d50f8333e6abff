-- vehicle_images: vehicles by organization, for --organization-id
create view backfill.vehicle_organizations as
select o.{organization_vehicle} as native_key, o.{organization} as organization from {organizations} o;
comment on view backfill.vehicle_organizations is 'Which vehicle belongs to which organization.';
comment on column backfill.vehicle_organizations.native_key is 'The vehicle''s key.';
comment on column backfill.vehicle_organizations.organization is 'The organization''s key.';
