//! The master key and the first API key.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, bail};
use domain::{ApiKey, Clock as _, KeyId, OrgId, Organization, Scope};
use store::{ConfigChange, MasterKey, NameKind, Store};

use crate::{
    config::Config,
    system::{SystemClock, SystemEntropy},
};

const FILE: &str = "master.key";

/// The configured master key, or that in the data folder. A new one is made only for a database without organizations:
/// inventing one for a database that has some would make everything in it unreadable. On PostgreSQL too: its address is all that
/// a first start needs. Who runs it where folders do not last gives the key by `PASSBRIDGE_MASTER_KEY` from the start.
pub(crate) fn master(config: &Config, database_is_new: bool) -> anyhow::Result<MasterKey> {
    if let Some(hex) = &config.master_key {
        return MasterKey::from_hex(hex).context("master_key must be 64 hexadecimal digits");
    }
    let path = config.data.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(hex) => {
            MasterKey::from_hex(&hex).with_context(|| format!("{} is no master key: 64 hexadecimal digits", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && database_is_new => {
            let key = MasterKey::mint(&SystemEntropy);
            write(&path, &key.to_hex()).with_context(|| format!("cannot write {}", path.display()))?;
            crate::system::complain(&format!(
                "wrote a new master key to {}: back it up, without it nothing in the database can be read; give it to every \
                 further node",
                path.display()
            ));
            Ok(key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "this database was made with a master key: set PASSBRIDGE_MASTER_KEY, or copy {FILE} into {}",
            config.data.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a secret into a new file that nobody else may read.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Sets up the first organization with an operator's key, which is shown this once.
pub(crate) async fn first_organization(store: &Store, name: &str) -> anyhow::Result<(OrgId, String)> {
    let now = SystemClock.now();
    let organization = Organization { id: OrgId::mint(now, &SystemEntropy), name: name.to_owned(), created_at: now };
    let actor = serde_json::json!({"type": "system"}).to_string();
    store.create_org(&organization, actor.clone(), now).await?;
    let minted = http_server::mint_api_key(&SystemEntropy);
    let key = ApiKey {
        id: KeyId::mint(now, &SystemEntropy),
        name: "First key".to_owned(),
        prefix: minted.prefix,
        scopes: vec![Scope::Operator],
        rate_per_second: None,
        expires_at: None,
        created_at: now,
    };
    let names = vec![(NameKind::ApiKey, minted.hash.to_vec(), key.id.uuid())];
    let change = ConfigChange { org: organization.id, actor, now, names, removed_names: Vec::new() };
    store.put(&change, &key, 0).await?;
    Ok((organization.id, minted.secret))
}
