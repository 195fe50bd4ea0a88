-- How often in a row a device could not be woken: the pauses between tries grow with it.

ALTER TABLE installations ADD COLUMN push_tries integer NOT NULL DEFAULT 0;
