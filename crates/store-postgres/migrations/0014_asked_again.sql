-- When a delivery was asked for once more: a try that was under way by then does not end it.

ALTER TABLE deliveries ADD COLUMN asked_at bigint;
