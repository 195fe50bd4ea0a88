-- In which wallets passes and contacts' passes are: 1 Apple, 2 Google, 3 both; lists are filtered by it, by state and by change.

ALTER TABLE passes ADD COLUMN installed INTEGER NOT NULL DEFAULT 0;
UPDATE passes SET installed = i.wallets
    FROM (SELECT org, pass, max(wallet = 1) + 2 * max(wallet = 2) AS wallets FROM installations WHERE active = 1
        GROUP BY org, pass) i
    WHERE passes.org = i.org AND passes.id = i.pass;
CREATE INDEX passes_installed ON passes (org, installed, id);
CREATE INDEX passes_state ON passes (org, state, id);
CREATE INDEX passes_updated ON passes (org, updated_at, id);

-- Of passes that are not void.
ALTER TABLE contacts ADD COLUMN wallets INTEGER NOT NULL DEFAULT 0;
UPDATE contacts SET wallets = p.wallets
    FROM (SELECT org, contact, max(installed % 2) + 2 * max(installed / 2) AS wallets FROM passes
        WHERE contact IS NOT NULL AND installed > 0 AND state < 2 GROUP BY org, contact) p
    WHERE contacts.org = p.org AND contacts.id = p.contact;
CREATE INDEX contacts_wallets ON contacts (org, wallets, id);
