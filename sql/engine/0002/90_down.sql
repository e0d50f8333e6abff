-- pgbackfill, engine: take the roles down. A role that another database or a login still has stays.

select backfill.take_down_roles();
drop trigger task_steering_is_logged on backfill.task;
do $$
declare
    v_one record;
begin
    for v_one in select g.function from backfill.guarded_functions() g loop
        execute format('grant execute on function %s to public', v_one.function);
    end loop;
end $$;
drop function backfill.log_steering();
drop function backfill.take_down_roles();
drop function backfill.set_up_roles();
drop function backfill.guarded_functions();
drop function backfill.roles();
