-- Replays, which go behind what happens now.

ALTER TABLE deliveries ADD COLUMN behind boolean NOT NULL DEFAULT false;
CREATE INDEX deliveries_behind ON deliveries (org, target) WHERE behind;
