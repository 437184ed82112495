-- Statements of the lag monitor.

-- name: greatest_epoch
-- Of all watermarks, whichever incarnation they are of; 0 when there is none.
SELECT max(epoch) FROM olap_watermarks;
