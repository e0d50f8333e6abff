-- face_index: what is known of each picture and face beside the application's own tables
--
-- A picture is one job, done in steps: its faces are found, then compared, then somebody or nobody
-- is linked. These tables are what a step leaves to the next.

create table backfill.face_asset (
    asset          {key_type} primary key references {table} ({key}) on delete cascade,
    user_id        {user_type} not null,
    collection     text not null,
    engine         text not null,
    engine_version text not null,
    state          text not null,
    found          integer not null,
    left_out       jsonb not null default '[]',
    to_delete      text[] not null default '{{}}',
    found_at       timestamptz not null default clock_timestamp(),
    done_at        timestamptz,
    constraint face_asset_state_is_known check (state in (
        'found',  -- its faces are known, and not all compared
        'done'    -- found -> done: each face is linked, or waits for somebody; none is left in the collection that should not be
    )),
    constraint face_asset_done_says_when check ((state = 'done') = (done_at is not null)),
    constraint face_asset_done_has_nothing_to_delete check (state <> 'done' or to_delete = '{{}}'),
    constraint face_asset_counts_up check (found >= 0)
);
create index face_asset_of_user on backfill.face_asset (user_id, done_at);
comment on table backfill.face_asset is 'Pictures whose faces were looked for.';
comment on column backfill.face_asset.asset is 'The picture.';
comment on column backfill.face_asset.user_id is 'Whose it is.';
comment on column backfill.face_asset.collection is 'The collection that its faces are in.';
comment on column backfill.face_asset.engine is 'What found them.';
comment on column backfill.face_asset.engine_version is 'Version of its model.';
comment on column backfill.face_asset.state is 'found or done.';
comment on column backfill.face_asset.found is 'Faces that are kept.';
comment on column backfill.face_asset.left_out is 'Faces that are not: bounding_box, confidence and why.';
comment on column backfill.face_asset.to_delete is 'Ids of faces that have to be deleted from the collection.';
comment on column backfill.face_asset.found_at is 'When they were found.';
comment on column backfill.face_asset.done_at is 'When it was done with.';

create table backfill.face_state (
    face       {face_type} primary key references {faces} (id) on delete cascade,
    asset      {key_type} not null,
    searched   boolean not null default false,
    decision   text,
    reason     text,
    decided_at timestamptz,
    constraint face_state_decision_is_known check (decision in (
        'assign',   -- null -> assign: it was linked to the person it is most like
        'suggest',  -- null -> suggest: somebody has to say which of the likeliest it is
        'unknown'   -- null -> unknown: it is like nobody known
    )),
    constraint face_state_decision_has_its_reason check ((decision is null) = (reason is null) and (decision is null) = (decided_at is null))
);
create index face_state_of_asset on backfill.face_state (asset);
comment on table backfill.face_state is 'What was decided about each face, and why.';
comment on column backfill.face_state.face is 'The face.';
comment on column backfill.face_state.asset is 'The picture that it is in.';
comment on column backfill.face_state.searched is 'Whether faces like it were looked for.';
comment on column backfill.face_state.decision is 'assign, suggest or unknown; null: not decided yet.';
comment on column backfill.face_state.reason is 'Why, in words.';
comment on column backfill.face_state.decided_at is 'When.';

create table backfill.face_match (
    face       {face_type} not null references {faces} (id) on delete cascade,
    other      text not null,
    similarity real not null,
    primary key (face, other),
    constraint face_match_is_a_percentage check (similarity between 0 and 100)
);
create index face_match_of_other on backfill.face_match (other);
comment on table backfill.face_match is 'Faces of the same collection that are like a face, the most similar ones; the collection''s engine says how similar.';
comment on column backfill.face_match.face is 'The face that was looked for.';
comment on column backfill.face_match.other is 'The id of the other one in the collection.';
comment on column backfill.face_match.similarity is '80 to 100; from 95 on both show the same person.';
