-- Statements of the lag monitor.

-- name: greatest_epoch
-- Of all watermarks, whichever incarnation they are of; 0 when there is none.
SELECT max(epoch) FROM olap_watermarks;

-- name: greatest_position
-- A log that ends below it, in the same epoch, is not the one that these rows came from.
SELECT max(lsn) FROM olap_watermarks WHERE epoch = {epoch:UInt8};
