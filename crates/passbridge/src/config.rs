//! Configuration: defaults, then a file, then the environment, then flags; the later one counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use domain::{OrgId, Users};
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use ipnet::IpNet;
use outbound::{egress::Egress, http::Roots};
use serde::{Deserialize, Serialize};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "passbridge.toml";

/// How long a node may be silent: long enough for a pause of the machine, short enough to matter.
const TAKE_OVER_SECONDS: std::ops::RangeInclusive<u64> = 3..=3_600;

/// What a server needs to know. Every value can stand in the file under its name, in the environment as
/// `PASSBRIDGE_<NAME>`, or be given as a flag.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder for the embedded database and the master key.
    pub(crate) data: PathBuf,
    /// Address and port to listen on.
    pub(crate) listen: String,
    /// Where the outside reaches this server; baked into every pass.
    pub(crate) public_url: Option<String>,
    /// `postgres://…`; without it the embedded SQLite is used.
    pub(crate) database: Option<String>,
    /// 64 hexadecimal digits; without it the file `master.key` in the data folder.
    pub(crate) master_key: Option<String>,
    /// Certificate chain, PEM, to serve https with.
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) tls_key: Option<PathBuf>,
    /// Networks of proxies whose word about the client's address counts.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Which header they write: `x-forwarded-for` or `forwarded`.
    pub(crate) forwarded_by: String,
    /// Whether webhooks may be sent to this machine itself.
    pub(crate) allow_loopback: bool,
    /// Further networks that webhooks may be sent to, beside all public addresses.
    pub(crate) allow_networks: Vec<IpNet>,
    /// Further ports that webhooks may be sent to, beside 80, 443 and those from 1024 on that speak HTTP.
    pub(crate) allow_ports: Vec<u16>,
    /// Ways out by name, `[egress.NAME]` in the file, for receivers that let in known addresses alone: each with a `proxy` or a
    /// `source_address`, and the `organizations` whose webhooks, destinations and syncs may name it.
    pub(crate) egress: BTreeMap<String, Way>,
    /// Folder below which destinations may write files, each organization in one of its own; without it none may.
    pub(crate) files_folder: Option<PathBuf>,
    /// Requests per second that an API key may make, unless it has a limit of its own.
    pub(crate) rate_per_second: u32,
    /// Pass pages and packages a minute that one client address may ask for; 0 means any number.
    pub(crate) pages_per_minute: u32,
    /// Enrolment forms a minute that one client address may send.
    pub(crate) enrolments_per_minute: u32,
    /// Requests a minute that one client address may send to the inspector.
    pub(crate) inspected_per_minute: u32,
    /// Registrations a minute that phones at one client address may make.
    pub(crate) registrations_per_minute: u32,
    /// Log reports a minute that phones at one client address may send.
    pub(crate) phone_logs_per_minute: u32,
    /// Call-backs a minute that Google may make from one address.
    pub(crate) callbacks_per_minute: u32,
    /// Keys a minute that one client address may try at the console.
    pub(crate) sign_ins_per_minute: u32,
    /// A MaxMind DB file with cities, to tell where a pass page was opened.
    pub(crate) places: Option<PathBuf>,
    /// Where pushes to Apple devices go.
    pub(crate) apns_url: String,
    /// Root certificates, PEM, that the push service is trusted by, instead of the system's.
    pub(crate) apns_roots: Option<PathBuf>,
    /// Google Wallet's REST interface.
    pub(crate) google_url: String,
    /// Where Google's access tokens are granted, instead of the address in each account's key file.
    pub(crate) google_token_url: Option<String>,
    /// Where Google's root signing keys are fetched, by which call-backs prove themselves.
    pub(crate) google_root_keys_url: String,
    /// A name for this node that stays the same over restarts; it takes back its own work at once.
    pub(crate) node: Option<String>,
    /// Seconds of silence after which the other nodes on the database take over a node's work; the same for all of them.
    pub(crate) take_over_seconds: u64,
    /// What to log: `error`, `warn`, `info`, `debug`, or per module, for example `info,outbound=debug`.
    pub(crate) log: String,
    /// How to log: `text` or `json`.
    pub(crate) log_format: String,
}

impl Default for Config {
    fn default() -> Self {
        let limits = http_server::AddressLimits::default();
        Self {
            data: PathBuf::from("passbridge-data"),
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            database: None,
            master_key: None,
            tls_certificate: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            forwarded_by: "x-forwarded-for".to_owned(),
            allow_loopback: false,
            allow_networks: Vec::new(),
            allow_ports: Vec::new(),
            egress: BTreeMap::new(),
            files_folder: None,
            rate_per_second: http_server::Settings::RATE_PER_SECOND,
            pages_per_minute: limits.pages_per_minute,
            enrolments_per_minute: limits.enrolments_per_minute,
            inspected_per_minute: limits.inspected_per_minute,
            registrations_per_minute: limits.registrations_per_minute,
            phone_logs_per_minute: limits.phone_logs_per_minute,
            callbacks_per_minute: limits.callbacks_per_minute,
            sign_ins_per_minute: limits.sign_ins_per_minute,
            places: None,
            apns_url: "https://api.push.apple.com".to_owned(),
            apns_roots: None,
            google_url: google_wallet::rest::BASE.to_owned(),
            google_token_url: None,
            google_root_keys_url: google_wallet::callback::ROOT_KEYS_URL.to_owned(),
            node: None,
            take_over_seconds: 30,
            log: "info".to_owned(),
            log_format: "text".to_owned(),
        }
    }
}

/// A way out of this machine, by one of the first two.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Way {
    /// An HTTP proxy that takes CONNECT, `http://host:port`, or `https://host:port` where it is spoken to over TLS, or one for
    /// SOCKS 5, `socks5://host:port`; with a login as `http://user:password@host:port`, both percent-encoded. It is asked for
    /// the receiver's address, resolved and judged here, never for a name; TLS goes through it end to end.
    proxy: Option<String>,
    /// Root certificates (PEM) that a proxy over TLS is trusted by, instead of the system's.
    proxy_roots: Option<PathBuf>,
    /// An address of this machine to send from. Receivers need an address of the same version of IP.
    source_address: Option<IpAddr>,
    /// The ids of the organizations that may send by it, or `*` for all of them, also those that come later. Nobody may unless
    /// told: receivers take what comes by it for yours.
    organizations: BTreeSet<String>,
}

impl Way {
    /// Who may send by it.
    fn users(&self) -> anyhow::Result<Users> {
        if self.organizations.contains("*") {
            return Ok(Users::All);
        }
        let id = |text: &String| {
            text.parse::<OrgId>().map_err(|_| anyhow!("organizations: `{text}` is no organization's id, nor `*` for all"))
        };
        self.organizations.iter().map(id).collect::<anyhow::Result<_>>().map(Users::Only)
    }
}

/// The certificates of a PEM file as the roots that somebody is trusted by.
pub(crate) fn roots(file: &Path) -> anyhow::Result<Roots> {
    let unread = || format!("cannot read {} as PEM certificates", file.display());
    Roots::only_pem(&std::fs::read(file).with_context(unread)?).with_context(unread)
}

impl Config {
    /// The ways out, and who may send by each.
    pub(crate) fn egresses(&self) -> anyhow::Result<Vec<(Egress, Users)>> {
        let egress = |(name, way): (&String, &Way)| {
            let made = match (&way.proxy, way.source_address) {
                (Some(proxy), None) => Egress::through(name, proxy),
                (None, Some(address)) => Egress::from_address(name, address),
                _ => bail!("egress.{name}: give either proxy or source_address"),
            };
            let at = || format!("egress.{name}");
            let mut made = made.with_context(at)?;
            if let Some(file) = &way.proxy_roots {
                made = roots(file)
                    .and_then(|roots| Ok(made.trusting(roots)?))
                    .with_context(|| format!("egress.{name}: proxy_roots"))?;
            }
            Ok((made, way.users().with_context(at)?))
        };
        self.egress.iter().map(egress).collect()
    }

    /// How long a node may be silent before others take over its work.
    pub(crate) fn take_over_after(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.take_over_seconds)
    }
}

/// The same as flags.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub(crate) struct Flags {
    /// Configuration file (TOML); `passbridge.toml` is read when it is there
    #[arg(long, value_name = "FILE", global = true)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Folder for the embedded database and the master key
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// Where the outside reaches this server, for example `https://passes.example.com`; baked into every pass
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_url: Option<String>,
    /// `postgres://…`; without it the embedded SQLite is used
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    /// Certificate chain (PEM) to serve https with
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Network of a proxy whose word about the client's address counts; repeatable
    #[arg(long = "trusted-proxy", value_name = "CIDR")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Allow webhooks to this machine itself
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_loopback: bool,
    /// Further network that webhooks may be sent to; repeatable
    #[arg(long = "allow-network", value_name = "CIDR")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow_networks: Vec<IpNet>,
    /// Further port below 1024 that webhooks may be sent to, beside 80 and 443; repeatable
    #[arg(long = "allow-port", value_name = "PORT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow_ports: Vec<u16>,
    /// Folder below which destinations may write files
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files_folder: Option<PathBuf>,
    /// MaxMind DB file with cities
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) places: Option<PathBuf>,
    /// Where pushes to Apple devices go
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_url: Option<String>,
    /// Root certificates (PEM) that the push service is trusted by
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_roots: Option<PathBuf>,
    /// A name for this node that stays the same over restarts
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// What to log, for example `info,outbound=debug`
    #[arg(long, value_name = "LEVELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    /// How to log: `text` or `json`
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<String>,
}

/// One configured value and where it comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Provenance {
    pub(crate) name: String,
    pub(crate) value: serde_json::Value,
    pub(crate) source: String,
}

fn figment(flags: &Flags) -> anyhow::Result<Figment> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    match &flags.config {
        Some(file) if !file.is_file() => bail!("--config: there is no file {}", file.display()),
        Some(file) => figment = figment.merge(Toml::file_exact(file)),
        None if Path::new(DEFAULT_FILE).is_file() => figment = figment.merge(Toml::file_exact(DEFAULT_FILE)),
        None => {}
    }
    // Those are for the command line client, not for the server.
    let environment = Env::prefixed("PASSBRIDGE_").ignore(&["url", "key"]);
    Ok(figment.merge(environment).merge(Serialized::defaults(flags)))
}

/// Reads the configuration.
pub(crate) fn read(flags: &Flags) -> anyhow::Result<Config> {
    let config: Config = figment(flags)?.extract().context("the configuration cannot be read")?;
    if config.tls_certificate.is_some() != config.tls_key.is_some() {
        bail!("tls_certificate and tls_key go together: give both or neither");
    }
    if !["x-forwarded-for", "forwarded"].contains(&config.forwarded_by.as_str()) {
        bail!("forwarded_by must be `x-forwarded-for` or `forwarded`");
    }
    if !TAKE_OVER_SECONDS.contains(&config.take_over_seconds) {
        bail!("take_over_seconds must be from {} to {}", TAKE_OVER_SECONDS.start(), TAKE_OVER_SECONDS.end());
    }
    if let Some(folder) = config.files_folder.as_ref().filter(|folder| !folder.is_dir()) {
        bail!("files_folder: there is no folder {}", folder.display());
    }
    config.egresses()?;
    if !["text", "json"].contains(&config.log_format.as_str()) {
        bail!("log_format must be `text` or `json`");
    }
    Ok(config)
}

/// Every value with its source; secrets are not shown.
pub(crate) fn explain(flags: &Flags) -> anyhow::Result<Vec<Provenance>> {
    let figment = figment(flags)?;
    let config = read(flags)?;
    let serde_json::Value::Object(values) = serde_json::to_value(&config)? else { bail!("the configuration is no table") };
    Ok(values.into_iter().map(|(name, value)| provenance(&figment, name, value)).collect())
}

fn provenance(figment: &Figment, name: String, value: serde_json::Value) -> Provenance {
    let metadata = figment.find_metadata(&name);
    let source = match metadata.map(|metadata| metadata.name.as_ref()) {
        Some(kind) if kind.contains("Flags") => format!("flag --{}", name.replace('_', "-")),
        Some(kind) if kind.contains("environment") => format!("environment PASSBRIDGE_{}", name.to_uppercase()),
        Some(kind) if kind.contains("TOML") => {
            let file = metadata.and_then(|metadata| metadata.source.as_ref()).map(ToString::to_string);
            format!("file {}", file.unwrap_or_default())
        }
        _ => "default".to_owned(),
    };
    let value = match (name.as_str(), &value) {
        ("master_key", serde_json::Value::String(_)) => "(hidden)".into(),
        ("database", serde_json::Value::String(url)) => hide_password(url).into(),
        ("egress", serde_json::Value::Object(ways)) => ways.iter().map(|(name, way)| (name.clone(), shown(way))).collect(),
        _ => value,
    };
    Provenance { name, value, source }
}

/// A way out without the password of its proxy.
fn shown(way: &serde_json::Value) -> serde_json::Value {
    let mut way = way.clone();
    if let Some(proxy) = way["proxy"].as_str().map(hide_password) {
        way["proxy"] = proxy.into();
    }
    way
}

/// An address without its password.
pub(crate) fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_last_and_are_named_as_the_source() {
        let flags = Flags { listen: Some("127.0.0.1:1".to_owned()), allow_loopback: true, ..Flags::default() };
        assert_eq!(read(&flags).unwrap().listen, "127.0.0.1:1");
        let rows = explain(&flags).unwrap();
        let source = |name: &str| rows.iter().find(|row| row.name == name).unwrap().source.clone();
        assert_eq!(source("listen"), "flag --listen");
        assert_eq!(source("allow_loopback"), "flag --allow-loopback");
        assert_eq!(source("data"), "default");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(hide_password("postgres://user:secret@host/db"), "postgres://user@host/db");
        assert_eq!(hide_password("postgres://host/db"), "postgres://host/db");
    }

    fn in_file(text: &str) -> (tempfile::TempDir, Flags) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passbridge.toml");
        std::fs::write(&file, text).unwrap();
        (folder, Flags { config: Some(file), ..Flags::default() })
    }

    #[test]
    fn ways_out_are_read_and_shown_without_their_passwords() {
        let text = "[egress.office]\nproxy = \"http://us:hush@proxy.example.com:3128\"\n\
             [egress.fixed]\nsource_address = \"127.0.0.2\"\norganizations = [\"*\"]\n\
             [egress.hers]\nsource_address = \"127.0.0.3\"\norganizations = [\"2pxzRSbhzmQoL3vPBqPhnW\"]";
        let (_folder, flags) = in_file(text);
        let egresses = read(&flags).unwrap().egresses().unwrap();
        assert_eq!(egresses.iter().map(|(egress, _)| egress.name()).collect::<Vec<_>>(), ["fixed", "hers", "office"]);
        let (hers, other): (OrgId, _) = ("2pxzRSbhzmQoL3vPBqPhnW".parse().unwrap(), OrgId::from_uuid(Default::default()));
        let may = |org| egresses.iter().map(|(_, users)| users.has(org)).collect::<Vec<_>>();
        assert_eq!((may(hers), may(other)), (vec![true, true, false], vec![true, false, false]), "nobody unless told");
        let row = explain(&flags).unwrap().into_iter().find(|row| row.name == "egress").unwrap();
        assert_eq!(row.value["office"]["proxy"], "http://us@proxy.example.com:3128");
        for (wrong, part) in [
            ("[egress.a]", "egress.a: give either"),
            ("[egress.a]\nproxy = \"ftp://x:1\"", "does not begin with http://"),
            ("[egress.\"A b\"]\nsource_address = \"127.0.0.2\"", "lower case letters"),
            ("[egress.a]\nsource = \"127.0.0.2\"", "unknown field"),
            ("[egress.a]\nproxy = \"https://x:1\"\nproxy_roots = \"none.pem\"", "egress.a: proxy_roots: cannot read none.pem"),
            (
                "[egress.a]\nsource_address = \"127.0.0.2\"\norganizations = [\"Club\"]",
                "egress.a: organizations: `Club` is no organization's id",
            ),
        ] {
            let (_folder, flags) = in_file(wrong);
            let why = format!("{:#}", read(&flags).unwrap_err());
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let flags = Flags { tls_key: Some("key.pem".into()), ..Flags::default() };
        assert!(read(&flags).unwrap_err().to_string().contains("go together"));
    }
}
