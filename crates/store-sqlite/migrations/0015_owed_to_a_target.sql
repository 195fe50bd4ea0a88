-- What each target is owed, replays apart, by when it is due: it is counted, and hastened, without looking at others' deliveries.

CREATE INDEX deliveries_target ON deliveries (org, target, behind, due_at);
DROP INDEX deliveries_behind;
