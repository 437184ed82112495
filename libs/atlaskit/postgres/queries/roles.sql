-- Statements about the roles that services log in as.

-- name: statement_that_sets_a_password
SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text);
