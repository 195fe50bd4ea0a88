//! `passbridge conformance`: simulated phones play Apple's whole web-service protocol against any server, and a simulated Google
//! plays its call-backs.

mod callbacks;

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args as Arguments, Subcommand};
use domain::{Clock as _, LinkCode};
use outbound::http::system_roots;
use pkpass::development::{Authority, Validity};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use simulators::{
    apns::ApnsServer,
    conformance::{Credential, Depth, Played, Subject, Update, Verdict, play},
    iphone::Network,
};

use crate::system::{SystemClock, SystemEntropy, say, write_private};

/// How long the authority of a push service lives, in seconds.
const AUTHORITY_SECONDS: i64 = 10 * 365 * 86_400;

#[derive(Debug, Arguments)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  passbridge conformance --pass club.pkpass
  passbridge conformance https://passes.example.com/apple --pass one.pkpass --other two.pkpass \\
      --update-command 'curl -fsS -X POST https://shop.example.com/points/1042'
  passbridge conformance google https://passes.example.com/google/callback --class 3388.club --object 3388.card-1 \\
      --keys-port 9443 --held-command './is-saved card-1'

Cases that lack something (a second pass, a way to change or end the pass, a push service) are skipped and say what they lack. Ends
with 1 when a case fails.")]
pub(crate) struct Args {
    #[command(subcommand)]
    google: Option<Side>,
    /// The web service, as in `webServiceURL`; the one that the pass names unless told
    url: Option<String>,
    /// A pass of the server, as it is now
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pass_type", "serial", "token_file"])]
    pass: Option<PathBuf>,
    /// In place of a file: the pass type identifier
    #[arg(long, requires = "serial", requires = "token_file")]
    pass_type: Option<String>,
    /// In place of a file: the serial number
    #[arg(long)]
    serial: Option<String>,
    /// In place of a file: a file with the authentication token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Another pass of the same type and server
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// A shell command that changes the pass, so that its package differs; PASS_TYPE and SERIAL are in its environment
    #[arg(long, value_name = "COMMAND")]
    update_command: Option<String>,
    /// A shell command that ends the pass for good (revokes or deletes it), played last; with the same environment
    #[arg(long, value_name = "COMMAND")]
    end_command: Option<String>,
    /// Seconds that a change may take until it is listed and pushed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
    /// Phones at once in the crowded cases
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=1000))]
    phones: u16,
    /// A further root certificate (PEM or DER) that the server is trusted by
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Play the push service too, on this port of 127.0.0.1, for a server that is set to push to it
    #[arg(long, value_name = "PORT", requires = "apns_authority", requires = "apns_clients")]
    apns_port: Option<u16>,
    /// The push service's own authority, made where it is missing; the server must trust FILE.root.pem
    #[arg(long, value_name = "FILE")]
    apns_authority: Option<PathBuf>,
    /// The root certificate that the server's pass type certificate leads to
    #[arg(long, value_name = "FILE")]
    apns_clients: Option<PathBuf>,
    /// Print one line of JSON a case, and one with the sums
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Play a Google that calls back, and lies, against an endpoint
    ///
    /// The endpoint must take the kit's root keys for Google's: point it at http://127.0.0.1:PORT/gp/m/issuer/keys (of our own
    /// server: `google_root_keys_url`), start the kit, then the endpoint.
    Google(callbacks::Args),
}

/// Does what was asked.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Side::Google(args)) = &args.google {
        return callbacks::run(args).await;
    }
    let (pass, named) = pass(args)?;
    let other = args.other.as_deref().map(|file| read(file).map(|(other, _)| other)).transpose()?;
    let service = service(args.url.as_deref(), named.as_deref())?;
    let by = |command: &Option<String>| Some(by_command(command.clone()?, pass.clone()?));
    let (update, end) = (by(&args.update_command), by(&args.end_command));
    let apns = apns(args).await?.map(Arc::new);
    let run = LinkCode::mint(&SystemEntropy).to_string();
    let patience = Duration::from_secs(args.patience);
    let (phones, now) = (usize::from(args.phones), SystemClock.now().as_seconds());
    let subject = Subject { service, pass, other, update, end, apns, phones, patience, now, run };
    let network = network(&args.root)?;
    if !args.json {
        say(&format!("{} as phones see it", subject.service));
    }
    let all = play(&subject, &network, Depth::Whole, |played| tell(played, args.json)).await;
    Ok(sum_up(&all, args.json))
}

/// Says how many hold, and answers with whether all do.
fn sum_up(all: &[Played], as_json: bool) -> ExitCode {
    let count = |is: fn(&Verdict) -> bool| all.iter().filter(|played| is(&played.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    if as_json {
        say(&json!({"passed": passed, "failed": failed, "skipped": skipped}).to_string());
    } else {
        say(&format!("\n{passed} hold, {failed} fail, {skipped} could not be played"));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A network that trusts what the system trusts, and these roots.
pub(crate) fn network(roots: &[PathBuf]) -> anyhow::Result<Network> {
    let mut trusted = system_roots();
    for file in roots {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let found = pkpass::certificates(&bytes).with_context(|| format!("{} is damaged", file.display()))?;
        trusted.extend(found.into_iter().map(CertificateDer::from));
    }
    Ok(Network::new(&trusted)?)
}

fn pass(args: &Args) -> anyhow::Result<(Option<Credential>, Option<String>)> {
    match (&args.pass, &args.pass_type, &args.serial, &args.token_file) {
        (Some(file), ..) => read(file).map(|(pass, url)| (Some(pass), Some(url))),
        (None, Some(pass_type), Some(serial), Some(file)) => {
            let token = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let token = token.trim().to_owned();
            Ok((Some(Credential { pass_type: pass_type.clone(), serial: serial.clone(), token }), None))
        }
        (None, None, None, None) => Ok((None, None)),
        _ => bail!("give --pass, or --pass-type, --serial and --token-file together"),
    }
}

fn read(file: &Path) -> anyhow::Result<(Credential, String)> {
    Credential::read(&crate::doctor::read(file)?).with_context(|| file.display().to_string())
}

/// The address that is tested: what the pass names, unless another server was given.
fn service(given: Option<&str>, named: Option<&str>) -> anyhow::Result<String> {
    let plain = |url: &str| url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
    let given = match given {
        None => return named.map(plain).context("give the address of the web service, or a pass that names it with --pass"),
        Some(given) => plain(given),
    };
    if !given.starts_with("https://") && !given.starts_with("http://") {
        bail!("{given} is no address: one starts with https://");
    }
    // `https://any.server` stands for the service that the pass names there.
    let there = named.filter(|named| named.strip_prefix(&given).is_some_and(|rest| rest.starts_with('/')));
    Ok(there.map_or(given.clone(), plain))
}

fn by_command(command: String, pass: Credential) -> Update {
    Arc::new(move || {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &command]).env("PASS_TYPE", &pass.pass_type).env("SERIAL", &pass.serial);
        shell.stdin(Stdio::null()).kill_on_drop(true);
        Box::pin(async move {
            let output = shell.output().await.map_err(|error| format!("the command cannot be run: {error}"))?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("the command ended with {}: {}", output.status, said.trim()))
        })
    })
}

async fn apns(args: &Args) -> anyhow::Result<Option<ApnsServer>> {
    let (Some(port), Some(file), Some(clients)) = (args.apns_port, &args.apns_authority, &args.apns_clients) else {
        return Ok(None);
    };
    let now = SystemClock.now().as_seconds();
    let validity = Validity { not_before: now - 86_400, not_after: now + AUTHORITY_SECONDS };
    let authority = match std::fs::read_to_string(file) {
        Ok(pem) => Authority::from_pem(&pem).with_context(|| file.display().to_string())?,
        Err(_) => {
            let authority = Authority::create("conformance", validity)?;
            write_private(file, &authority.to_pem())?;
            authority
        }
    };
    let mut root = file.clone().into_os_string();
    root.push(".root.pem");
    std::fs::write(&root, authority.root_pem()).with_context(|| format!("cannot write {}", Path::new(&root).display()))?;
    let tls = authority.issue_tls_server(&["localhost", "127.0.0.1"], validity)?;
    let chain = vec![CertificateDer::from_pem_slice(tls.certificate.as_bytes())?];
    let key = PrivatePkcs8KeyDer::from_pem_slice(tls.key.as_bytes())?.secret_pkcs8_der().to_vec();
    let bytes = std::fs::read(clients).with_context(|| format!("cannot read {}", clients.display()))?;
    let trusted = pkpass::certificates(&bytes)?.into_iter().next();
    let trusted = CertificateDer::from(trusted.with_context(|| format!("{} holds no certificate", clients.display()))?);
    let server = ApnsServer::start_at(port, chain, key, &trusted).await.context("the push service cannot start")?;
    Ok(Some(server))
}

fn tell(played: &Played, as_json: bool) {
    let case = played.case;
    let (verdict, came) = match &played.verdict {
        Verdict::Passed(seen) => ("passed", seen),
        Verdict::Failed(came) => ("failed", came),
        Verdict::Skipped(what) => ("skipped", what),
    };
    if as_json {
        let line: Value = json!({"case": case.name, "verdict": verdict, "demand": case.demand, "came": came, "why": case.why,
            "mend": case.mend, "source": case.source});
        say(&line.to_string());
        return;
    }
    match &played.verdict {
        Verdict::Passed(seen) => say(&format!("✓ {}: {seen}", case.name)),
        Verdict::Skipped(what) => say(&format!("– {}: not played, {what}", case.name)),
        Verdict::Failed(came) => say(&format!(
            "✗ {}\n    demanded  {}\n    came      {came}\n    matters   {}\n    mend      {}\n    see       {}",
            case.name, case.demand, case.why, case.mend, case.source
        )),
    }
}
