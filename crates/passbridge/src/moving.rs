//! `passbridge export` and `import`: organizations move from one installation to another, whatever their databases are.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use clap::Args;
use domain::{Clock as _, Entropy, OrgId};
use serde_json::json;
use store::{Backend, MasterKey, Store, moving::Tally};

use crate::{
    config::{self, Config, Flags},
    keys, serve,
    system::{SystemClock, SystemEntropy, complain, say},
};

/// What is taken out.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    flags: Flags,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over the file if there is one already
    #[arg(long)]
    force: bool,
    /// Where the transfer key stands: 64 hexadecimal digits; a new one is written there if there is none
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Only this organization, by its id; all of them unless told. May be given several times
    #[arg(long = "organization", value_name = "ID")]
    organizations: Vec<String>,
    /// Leave behind what is still owed: deliveries, source events that wait
    #[arg(long)]
    leave_behind: bool,
    /// Do it although a node is written down as running: it died
    #[arg(long)]
    anyway: bool,
}

/// What is taken in.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    flags: Flags,
    /// What `passbridge export` wrote
    file: PathBuf,
    /// Where the transfer key stands
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Do it although a node is written down as running: it died
    #[arg(long)]
    anyway: bool,
}

/// The database of an installation whose server does not run.
async fn open(config: &Config, anyway: bool) -> anyhow::Result<(Arc<dyn Backend>, Arc<Store>)> {
    let backend = serve::open(config).await?;
    backend.migrate(SystemClock.now()).await?;
    // An SQLite is locked while somebody runs on it: what is written down there is a node that was killed, maybe long ago.
    let nodes = if anyway || backend.name() == "sqlite" { Vec::new() } else { backend.nodes().await? };
    if let Some(node) = nodes.first() {
        bail!("the node {} runs on this database: stop it first, or say --anyway when it died", node.name);
    }
    let is_new = backend.org_keys().await?.is_empty();
    let master = keys::master(config, is_new)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let store = Store::open(Arc::clone(&backend), &master, entropy).await?;
    Ok((backend, store))
}

fn read_key(path: &Path) -> anyhow::Result<MasterKey> {
    let hex = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    MasterKey::from_hex(&hex).with_context(|| format!("{} is no transfer key: 64 hexadecimal digits", path.display()))
}

fn shown(tally: &Tally, more: serde_json::Value) -> anyhow::Result<()> {
    let mut all = serde_json::to_value(tally)?;
    if let (Some(all), serde_json::Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    say(&serde_json::to_string_pretty(&all)?);
    Ok(())
}

/// An export that is written over may be the only one.
fn refuse_what_is_there(args: &ExportArgs) -> anyhow::Result<()> {
    if args.out.is_dir() {
        bail!("{} is a folder: name a file", args.out.display());
    }
    if !args.force && args.out.exists() {
        bail!("{} is there already: choose another name, or say --force to write over it", args.out.display());
    }
    Ok(())
}

/// Writes the file; one that could not be finished is not left behind.
pub(crate) async fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let config = config::read(&args.flags)?;
    refuse_what_is_there(args)?;
    let (backend, store) = open(&config, args.anyway).await?;
    if !args.key_file.exists() {
        let key = MasterKey::mint(&SystemEntropy);
        keys::write(&args.key_file, &key.to_hex()).with_context(|| format!("cannot write {}", args.key_file.display()))?;
        complain(&format!(
            "wrote a new transfer key to {}: who has it and the file can read everything",
            args.key_file.display()
        ));
    }
    let key = read_key(&args.key_file)?;
    let orgs = match args.organizations.as_slice() {
        [] => store.catalog().orgs().map(|(org, _)| org).collect(),
        named => {
            named.iter().map(|id| id.parse().with_context(|| format!("{id} is no id"))).collect::<anyhow::Result<Vec<OrgId>>>()?
        }
    };
    if orgs.is_empty() {
        bail!("there is no organization in this installation");
    }
    let part = args.out.with_added_extension("part");
    let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
    let written = store.export(&orgs, &key, args.leave_behind, SystemClock.now(), BufWriter::new(&file)).await;
    backend.close().await;
    let (tally, sha256) = match written {
        Ok(written) => written,
        Err(error) => {
            // What is there is of no use.
            let _ = fs::remove_file(&part);
            return Err(error.into());
        }
    };
    file.sync_all()?;
    refuse_what_is_there(args)?;
    fs::rename(&part, &args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    shown(&tally, json!({"file": args.out, "sha256": sha256}))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the file.
pub(crate) async fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let config = config::read(&args.flags)?;
    let key = read_key(&args.key_file)?;
    File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let (backend, store) = open(&config, args.anyway).await?;
    let imported = store.import(&key, SystemClock.now(), || File::open(&args.file).map(BufReader::new)).await;
    backend.close().await;
    shown(&imported?, json!({"file": args.file}))?;
    Ok(ExitCode::SUCCESS)
}
