-- image_signals: what is kept of payments and of pictures
--
-- A picture is known by the SHA-256 of its file. Payments with the same file share its row, so a
-- file that thousands of payments have is hashed and compared once. What is kept of a picture is
-- enough to compare it with any later one: no screenshot is downloaded twice.
--
-- A generation is a version of the algorithm and its parameters. Pictures of different generations
-- are never compared; equal files are equal whatever the generation.

create table backfill.image_picture (
    generation    integer not null,
    sha256        bytea not null,
    width         integer not null,
    height        integer not null,
    hashes        bigint[] not null,
    coarse        bytea not null,
    thumbnail     bytea not null,
    ranked        boolean not null default false,
    ranked_bits   smallint,
    ranked_sha256 bytea,
    shortlist     bytea[],
    candidates    integer,
    crowded       boolean,
    compared_at   timestamptz,
    constraint image_picture_pkey primary key (generation, sha256),
    constraint image_picture_has_a_sha256 check (length(sha256) = 32)
);
-- thumbnails are compressed already
alter table backfill.image_picture alter column thumbnail set storage external;
comment on table backfill.image_picture is 'One row a distinct file of a screenshot: what later comparisons need.';
comment on column backfill.image_picture.generation is 'Version of the algorithm that made it.';
comment on column backfill.image_picture.sha256 is 'SHA-256 of the file.';
comment on column backfill.image_picture.width is 'Width, pixels.';
comment on column backfill.image_picture.height is 'Height, pixels.';
comment on column backfill.image_picture.hashes is 'Perceptual hashes, 64 bits each, of the whole and of windows in it; null where there is nothing to see.';
comment on column backfill.image_picture.coarse is 'Edges in a coarse grid, one byte a cell: puts many candidates into order.';
comment on column backfill.image_picture.thumbnail is 'The picture at 160,000 pixels or fewer, gray, as WebP.';
comment on column backfill.image_picture.ranked is 'Whether all of many candidates were ranked, so that the shortlist is what is to be compared.';
comment on column backfill.image_picture.ranked_bits is 'How far the ranking came: candidates up to this distance,';
comment on column backfill.image_picture.ranked_sha256 is 'and at this distance up to this one.';
comment on column backfill.image_picture.shortlist is 'The likeliest of the candidates that were ranked.';
comment on column backfill.image_picture.candidates is 'Other pictures with a near hash when it was compared.';
comment on column backfill.image_picture.crowded is 'Whether there were more candidates than can be ranked at all.';
comment on column backfill.image_picture.compared_at is 'When it was compared with its candidates; null: not yet.';

create table backfill.image_subject (
    key        text constraint image_subject_pkey primary key,
    native_key {key_type} not null,
    generation integer not null,
    revision   text,
    seen_at    timestamptz not null,
    sha256     bytea not null,
    hash       text,
    algorithm  text not null,
    settled_at timestamptz,
    similar_to text,
    duplicate  boolean not null default false,
    alike      boolean not null default false
);
create index image_subject_by_file on backfill.image_subject (sha256, seen_at, native_key);
create index image_subject_by_hash on backfill.image_subject (hash, algorithm, seen_at, native_key);
create index image_subject_alike on backfill.image_subject (seen_at, key) where alike;
create index image_subject_similar on backfill.image_subject (similar_to) where similar_to is not null;
comment on table backfill.image_subject is 'One row a payment whose screenshot was analysed.';
comment on column backfill.image_subject.key is 'The payment''s key, as text.';
comment on column backfill.image_subject.native_key is 'The same in its own type; of payments of one time the lesser is the earlier.';
comment on column backfill.image_subject.generation is 'Version of the algorithm that it was analysed by.';
comment on column backfill.image_subject.revision is 'Revision of the payment that was analysed.';
comment on column backfill.image_subject.seen_at is 'When the payment was submitted; infinity where the application doesn''t say.';
comment on column backfill.image_subject.sha256 is 'SHA-256 of its screenshot''s file.';
comment on column backfill.image_subject.hash is 'Perceptual hash of the whole picture, as it is counted in the application''s hash index.';
comment on column backfill.image_subject.algorithm is 'The hash''s name and version there.';
comment on column backfill.image_subject.settled_at is 'When its duplicates were looked for; null: not yet.';
comment on column backfill.image_subject.similar_to is 'Key of the payment that its row of signals points to.';
comment on column backfill.image_subject.duplicate is 'Whether its row of signals calls it a duplicate.';
comment on column backfill.image_subject.alike is 'Whether any earlier payment has the same picture or one like it.';
comment on index backfill.image_subject_by_file is 'Payments with one file, the earliest first.';
comment on index backfill.image_subject_by_hash is 'Payments with one hash, the earliest first.';
comment on index backfill.image_subject_alike is 'Payments with something like them, by time.';
comment on index backfill.image_subject_similar is 'Who points to a payment.';

create table backfill.image_pair (
    generation  integer not null,
    one         bytea not null,
    other       bytea not null,
    verdict     text not null,
    percentage  numeric(4, 1) not null,
    bits        smallint,
    found       jsonb not null,
    compared_at timestamptz not null default clock_timestamp(),
    constraint image_pair_pkey primary key (one, other, generation),
    constraint image_pair_is_ordered check (one < other),
    constraint image_pair_verdict_is_known check (verdict in ('copy', 'review')),
    constraint image_pair_percentage_in_range check (percentage between 0 and 100)
);
create index image_pair_by_other on backfill.image_pair (other);
comment on table backfill.image_pair is 'Two different files that show the same (copy), or so nearly that a person should look (review).';
comment on column backfill.image_pair.generation is 'Version of the algorithm that compared them.';
comment on column backfill.image_pair.one is 'SHA-256 of one of them, the lesser.';
comment on column backfill.image_pair.other is 'SHA-256 of the other.';
comment on column backfill.image_pair.verdict is 'copy or review.';
comment on column backfill.image_pair.percentage is 'How much of what both show is the same.';
comment on column backfill.image_pair.bits is 'In how many of 64 bits their nearest hashes differ.';
comment on column backfill.image_pair.found is 'What the comparison found: sentences and places that differ, by who is taken for the first.';
comment on column backfill.image_pair.compared_at is 'When they were compared last.';
comment on index backfill.image_pair_by_other is 'Pairs by the greater of the two.';

create table backfill.image_mark (
    one          text not null,
    other        text not null,
    one_sha256   bytea not null,
    other_sha256 bytea not null,
    mark         text not null,
    reason       text,
    marked_by    text not null default session_user,
    marked_at    timestamptz not null default clock_timestamp(),
    constraint image_mark_pkey primary key (one, other),
    constraint image_mark_is_ordered check (one collate "C" < other collate "C"),
    constraint image_mark_is_known check (mark in ('duplicate', 'not_duplicate'))
);
create index image_mark_by_other on backfill.image_mark (other);
comment on index backfill.image_mark_by_other is 'Marks by the greater of the two keys.';
comment on table backfill.image_mark is 'What a person said of two payments. It holds for the files that the person saw, whatever later runs find.';
comment on column backfill.image_mark.one is 'Key of one payment, the lesser.';
comment on column backfill.image_mark.other is 'Key of the other.';
comment on column backfill.image_mark.one_sha256 is 'The file that one had then.';
comment on column backfill.image_mark.other_sha256 is 'The file that the other had then.';
comment on column backfill.image_mark.mark is 'duplicate or not_duplicate.';
comment on column backfill.image_mark.reason is 'Why, in that person''s words.';
comment on column backfill.image_mark.marked_by is 'The database user who said so.';
comment on column backfill.image_mark.marked_at is 'When.';

create view backfill.image_link as
select p.other as here, p.one as there, p.verdict, p.percentage, p.bits, p.found -> 'one_first' as found, p.generation from backfill.image_pair p
union all
select p.one, p.other, p.verdict, p.percentage, p.bits, p.found -> 'other_first', p.generation from backfill.image_pair p;
comment on view backfill.image_link is 'Pairs from both sides.';
comment on column backfill.image_link.here is 'SHA-256 of the one that is looked from.';
comment on column backfill.image_link.there is 'SHA-256 of the one that is taken for the first.';
comment on column backfill.image_link.verdict is 'copy or review.';
comment on column backfill.image_link.percentage is 'How much of what both show is the same.';
comment on column backfill.image_link.bits is 'In how many of 64 bits their nearest hashes differ.';
comment on column backfill.image_link.found is 'What the comparison found.';
comment on column backfill.image_link.generation is 'Version of the algorithm that compared them.';

create view backfill.image_marked as
select m.one as here, m.other as there, m.one_sha256 as here_sha256, m.other_sha256 as there_sha256, m.mark, m.reason, m.marked_by, m.marked_at from backfill.image_mark m
union all
select m.other, m.one, m.other_sha256, m.one_sha256, m.mark, m.reason, m.marked_by, m.marked_at from backfill.image_mark m;
comment on view backfill.image_marked is 'Marks from both sides.';
comment on column backfill.image_marked.here is 'Key of the payment that is looked from.';
comment on column backfill.image_marked.there is 'Key of the other.';
comment on column backfill.image_marked.here_sha256 is 'The file that the one had then.';
comment on column backfill.image_marked.there_sha256 is 'The file that the other had then.';
comment on column backfill.image_marked.mark is 'duplicate or not_duplicate.';
comment on column backfill.image_marked.reason is 'Why.';
comment on column backfill.image_marked.marked_by is 'Who said so.';
comment on column backfill.image_marked.marked_at is 'When.';
