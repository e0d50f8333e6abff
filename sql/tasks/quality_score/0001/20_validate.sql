-- quality_score: validate the check, in a transaction of its own, beside reads and writes
do $$
begin
    if exists (select from pg_constraint where conrelid = {table_name}::regclass and conname = {check_literal} and not convalidated) then
        alter table {table} validate constraint {check_name};
    end if;
end $$;
