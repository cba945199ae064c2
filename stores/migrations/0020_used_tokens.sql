-- Machines' tokens that were used: each opens one request. A row is a digest of client and jti, and is
-- deleted soon after the token has expired (at most five minutes after it was made). Rows are
-- nobody's: they name no organisation, and who does not know client and jti learns nothing from them.
create table used_tokens (
    digest bytea primary key check (length(digest) = 32),
    expires_at timestamptz not null
);
create index used_tokens_expiry on used_tokens (expires_at);
call fence('used_tokens');
grant select, insert, delete on used_tokens to halyard_face;
create policy face_uses on used_tokens to halyard_face using (true) with check (true);
