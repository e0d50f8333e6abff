-- vehicle_images: what became of each URL
--
-- A vehicle is one job, done in steps. This table is what a step leaves to the next: which of the
-- URLs are done with, and how often the others were tried.

create table backfill.vehicle_url (
    vehicle       {key_type} not null,
    position      integer not null,
    url           text not null,
    state         text not null,
    attempts      integer not null default 0,
    host          text,
    error_class   text,
    error_message text,
    file_hash     text,
    refusals      integer not null default 0,
    try_after     timestamptz,
    at            timestamptz not null default clock_timestamp(),
    primary key (vehicle, position),
    constraint vehicle_url_state_is_known check (state in (
        'pending',   -- to be tried, or tried again
        'stored',    -- pending -> stored: its file is in the storage and in the table of pictures
        'gone',      -- pending -> gone: its host has it no longer
        'refused',   -- pending -> refused: what came, or where it leads, can't be used
        'failed',    -- pending -> failed: tried as often as the task allows
        'left_out'   -- not asked for: no photograph, a repetition, or beyond the most of a vehicle
    )),
    constraint vehicle_url_stored_has_a_file check ((state = 'stored') = (file_hash is not null)),
    constraint vehicle_url_says_why check (state in ('pending', 'stored') or error_class is not null),
    constraint vehicle_url_attempts_count_up check (attempts >= 0),
    constraint vehicle_url_only_pending_waits check (try_after is null or state = 'pending')
);
comment on table backfill.vehicle_url is 'What became of each URL of each vehicle that was looked at.';
comment on column backfill.vehicle_url.vehicle is 'The vehicle.';
comment on column backfill.vehicle_url.position is 'Place in its list of URLs, from 0.';
comment on column backfill.vehicle_url.url is 'The URL, unescaped.';
comment on column backfill.vehicle_url.state is 'pending, stored, gone, refused, failed or left_out.';
comment on column backfill.vehicle_url.attempts is 'Failed attempts that count; 0 of one that failed: it is tried again when the vehicle is.';
comment on column backfill.vehicle_url.host is 'The host that was asked.';
comment on column backfill.vehicle_url.error_class is 'Why it was not stored, as a short word.';
comment on column backfill.vehicle_url.error_message is 'Why, in words.';
comment on column backfill.vehicle_url.file_hash is 'SHA-256 of its file.';
comment on column backfill.vehicle_url.refusals is 'Times in a row that its host refused it for its rate (429), which counts as no attempt; each makes the next wait longer.';
comment on column backfill.vehicle_url.try_after is 'When it may be tried again; null: at once.';
comment on column backfill.vehicle_url.at is 'When this was found.';

create view backfill.vehicle_urls as
select u.vehicle::text as key, u.position, u.url,
       case when u.state = 'stored' and exists (
                select from backfill.vehicle_url o
                 where o.vehicle = u.vehicle and o.file_hash = u.file_hash and o.position < u.position) then 'duplicate'
            else u.state end as outcome,
       u.host, u.attempts, u.error_class, u.error_message, u.file_hash, u.try_after, u.at
  from backfill.vehicle_url u;
comment on view backfill.vehicle_urls is 'What became of each URL of each vehicle that was looked at.';
comment on column backfill.vehicle_urls.key is 'The vehicle''s key, as text.';
comment on column backfill.vehicle_urls.position is 'Place in its list of URLs, from 0.';
comment on column backfill.vehicle_urls.url is 'The URL, unescaped.';
comment on column backfill.vehicle_urls.outcome is 'pending, stored, duplicate (an earlier URL of the vehicle has the same file), gone, refused, failed or left_out.';
comment on column backfill.vehicle_urls.host is 'The host that was asked.';
comment on column backfill.vehicle_urls.attempts is 'Failed attempts that count.';
comment on column backfill.vehicle_urls.error_class is 'Why it was not stored, as a short word.';
comment on column backfill.vehicle_urls.error_message is 'Why, in words.';
comment on column backfill.vehicle_urls.file_hash is 'SHA-256 of its file.';
comment on column backfill.vehicle_urls.try_after is 'When it may be tried again; null: at once.';
comment on column backfill.vehicle_urls.at is 'When this was found.';

create view backfill.vehicle_hosts as
select u.host, count(*) filter (where u.outcome = 'stored') as stored, count(*) filter (where u.outcome = 'duplicate') as duplicates,
       count(*) filter (where u.outcome = 'gone') as gone, count(*) filter (where u.outcome = 'refused') as refused,
       count(*) filter (where u.outcome = 'failed') as failed, count(*) filter (where u.outcome = 'pending') as pending, max(u.at) as last_at
  from backfill.vehicle_urls u
 where u.host is not null
 group by u.host;
comment on view backfill.vehicle_hosts is 'What became of the URLs of each host. Reads the whole table of outcomes.';
comment on column backfill.vehicle_hosts.host is 'The host.';
comment on column backfill.vehicle_hosts.stored is 'URLs whose picture was stored.';
comment on column backfill.vehicle_hosts.duplicates is 'URLs whose picture the vehicle had already.';
comment on column backfill.vehicle_hosts.gone is 'URLs that the host has no longer.';
comment on column backfill.vehicle_hosts.refused is 'URLs that can''t be used, or whose answer can''t.';
comment on column backfill.vehicle_hosts.failed is 'URLs that failed each time.';
comment on column backfill.vehicle_hosts.pending is 'URLs that are to be tried, or tried again.';
comment on column backfill.vehicle_hosts.last_at is 'When the last of this was found.';
