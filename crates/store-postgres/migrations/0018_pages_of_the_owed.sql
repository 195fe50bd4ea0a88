-- A page of what a target is owed is read in its order, without sorting all of it.

DROP INDEX deliveries_target;
CREATE INDEX deliveries_target ON deliveries (org, target, behind, due_at, id);
