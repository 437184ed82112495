-- Every login role that the migrations made gets this data directory's password.
\getenv password PGPASSWORD
SELECT format('ALTER ROLE %I PASSWORD %L', rolname, :'password')
FROM pg_roles
WHERE rolcanlogin AND rolname <> current_user
\gexec
