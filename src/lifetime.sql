-- For the session, not the transaction: a transaction that fails would take its settings back.
-- Nothing of a user's is found by an unqualified name.
SET LOCAL search_path = pg_catalog, pg_temp;
-- If we vanish without a word, the server keeps neither the lock nor the session for us.
SET idle_in_transaction_session_timeout = {ms};
SELECT set_config('idle_session_timeout', '{ms}', false)
WHERE current_setting('server_version_num')::integer >= 140000;
-- And it looks after us while it waits for a lock or runs a statement (Linux).
SELECT set_config('client_connection_check_interval', '2s', false)
WHERE current_setting('server_version_num')::integer >= 140000 AND version() LIKE '%linux%';
