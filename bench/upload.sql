-- name: progress
-- Records of an upload that are answered, and how many flag records matching has folded since
select (select count(*) from upload_answers where upload_id = %(upload_id)s and code is not null) as answered,
       (select count(*) from upload_answers where upload_id = %(upload_id)s and code = 'CPR06') as held,
       (select count(*) from inbox where stage = 'matching' and taken_at >= %(since)s) as folded
