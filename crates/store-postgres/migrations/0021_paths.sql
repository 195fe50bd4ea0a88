-- An index that has the columns of a table's key among its own can be taken for the key while the table is young and the planner
-- guesses: the key's first column is looked up by it, and all of an organization is walked. So such indexes name a condition that
-- every row fulfils and that only those statements name which want them.

DROP INDEX contact_keys_contact;
CREATE INDEX contact_keys_contact ON contact_keys (org, contact, hash) WHERE place >= 0;

DROP INDEX contacts_wallets;
-- By a column that stays as it is: what a condition names counts as indexed when a row is changed in its place.
CREATE INDEX contacts_wallets ON contacts (org, wallets, id) WHERE created_at >= 0;

DROP INDEX passes_project;
DROP INDEX passes_installed;
DROP INDEX passes_state;
DROP INDEX passes_updated;
CREATE INDEX passes_project ON passes (org, project, id) WHERE version >= 0;
CREATE INDEX passes_installed ON passes (org, installed, id) WHERE version >= 0;
CREATE INDEX passes_state ON passes (org, state, id) WHERE version >= 0;
CREATE INDEX passes_updated ON passes (org, updated_at, id) WHERE version >= 0;
