-- In which wallets passes and contacts' passes are: 1 Apple, 2 Google, 3 both; lists are filtered by it, by state and by change.

ALTER TABLE passes ADD COLUMN installed smallint NOT NULL DEFAULT 0;
UPDATE passes p SET installed = i.wallets
    FROM (SELECT org, pass, bit_or(wallet) AS wallets FROM installations WHERE active GROUP BY org, pass) i
    WHERE p.org = i.org AND p.id = i.pass;
CREATE INDEX passes_installed ON passes (org, installed, id);
CREATE INDEX passes_state ON passes (org, state, id);
CREATE INDEX passes_updated ON passes (org, updated_at, id);

-- Of passes that are not void.
ALTER TABLE contacts ADD COLUMN wallets smallint NOT NULL DEFAULT 0;
UPDATE contacts c SET wallets = p.wallets
    FROM (SELECT org, contact, bit_or(installed) AS wallets FROM passes WHERE contact IS NOT NULL AND installed > 0 AND state < 2
        GROUP BY org, contact) p
    WHERE c.org = p.org AND c.id = p.contact;
CREATE INDEX contacts_wallets ON contacts (org, wallets, id);
