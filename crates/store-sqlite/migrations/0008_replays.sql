-- Replays, which go behind what happens now.

ALTER TABLE deliveries ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_behind ON deliveries (org, target) WHERE behind = 1;
