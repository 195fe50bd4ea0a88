//! Who may use whom, checked against what cargo says: our crates among themselves, where libraries may be used, and
//! under which licences they come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// Which of our crates, by folder, each may use. A crate that is not here may not exist.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("pkpass", &[]),
    ("google-wallet", &[]),
    ("kql", &[]),
    ("script", &[]),
    ("scan-code", &[]),
    ("render", &["domain", "pkpass", "google-wallet", "scan-code"]),
    ("flows", &["domain", "script"]),
    ("connectors", &["domain", "script"]),
    ("store", &["domain"]),
    ("store-sqlite", &["domain", "store"]),
    ("store-postgres", &["domain", "store"]),
    ("engine", &["domain", "store"]),
    ("outbound", &["domain"]),
    ("insights", &["domain", "store", "kql"]),
    ("workers", ROOMS),
    ("http", ROOMS),
    ("simulators", &["domain", "pkpass", "google-wallet"]),
    ("testkit", &["domain", "pkpass", "google-wallet", "simulators"]),
    ("passbridge", EVERY_ROOM),
    (
        "bench",
        &[
            "domain",
            "pkpass",
            "google-wallet",
            "script",
            "flows",
            "store",
            "store-sqlite",
            "engine",
            "outbound",
            "workers",
            "simulators",
            "testkit",
        ],
    ),
];

/// What workers and http put to use.
const ROOMS: &[&str] = &[
    "domain",
    "pkpass",
    "google-wallet",
    "kql",
    "script",
    "scan-code",
    "render",
    "flows",
    "connectors",
    "store",
    "engine",
    "outbound",
    "insights",
];

/// What the binary puts together; never what is for tests alone.
const EVERY_ROOM: &[&str] = &[
    "domain",
    "pkpass",
    "google-wallet",
    "kql",
    "script",
    "scan-code",
    "render",
    "flows",
    "connectors",
    "store",
    "store-sqlite",
    "store-postgres",
    "engine",
    "outbound",
    "insights",
    "workers",
    "http",
    "simulators",
];

/// Libraries that belong into certain rooms alone.
const PLACED: &[(&str, &[&str])] = &[
    // The SQL drivers. SQLite's and the web framework are measured alone in bench: what stands on them is held against that.
    ("rusqlite", &["store-sqlite", "bench"]),
    ("tokio-postgres", &["store-postgres", "outbound", "testkit"]),
    ("deadpool-postgres", &["store-postgres", "outbound"]),
    ("tokio-postgres-rustls", &["store-postgres", "outbound"]),
    // HTTP below the web framework; the binary runs its connections, see also `CLIENT_WORDS`.
    ("hyper", &["outbound", "simulators", "passbridge", "testkit", "bench"]),
    ("hyper-util", &["outbound", "simulators", "passbridge", "testkit", "bench"]),
    // The web framework.
    ("axum", &["http", "simulators", "passbridge", "bench"]),
    ("utoipa", &["http"]),
    ("utoipa-axum", &["http"]),
    ("datafusion", &["insights"]),
    // Files of tables, and where they are kept.
    ("parquet", &["insights", "outbound"]),
    ("object_store", &["insights", "outbound"]),
    // Mail is sent by the room that owns sockets.
    ("lettre", &["outbound"]),
    ("maud", &["http", "render"]),
    ("minijinja", &["script"]),
    ("jaq-core", &["script"]),
    ("jaq-json", &["script"]),
    ("jaq-std", &["script"]),
    // The world comes in by the door, and the door is the binary.
    ("anyhow", &["passbridge", "bench"]),
    ("clap", &["passbridge", "bench"]),
    ("figment", &["passbridge"]),
    ("indicatif", &["passbridge"]),
    ("tracing-subscriber", &["passbridge"]),
    ("rand", &["passbridge"]),
];

/// Rooms that compute and never wait.
const WITHOUT_IO: &[&str] = &["domain", "pkpass", "google-wallet", "kql", "script", "render", "flows", "connectors"];
/// What waits, listens or opens sockets.
const IO: &[&str] = &["tokio", "tokio-rustls", "rustls", "futures-util", "tower", "tower-http", "socket2", "mio"];

/// What stands in the source of those who make requests, and who may.
const CLIENT_WORDS: &[&str] = &["hyper::client", "hyper_util::client", "TcpStream::connect"];
const CLIENTS: &[&str] = &["outbound", "simulators", "testkit", "bench"];

/// Never to be linked: a second TLS or a second set of primitives beside aws-lc.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "ring", "async-std"];

/// Licences whose terms Apache-2.0 software may be shipped under, as in deny.toml.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

static METADATA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"])).unwrap());

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Packages of the workspace by their folder.
fn ours() -> BTreeMap<String, &'static Value> {
    let members: BTreeSet<&str> = texts(&METADATA["workspace_members"]).collect();
    let packages = METADATA["packages"].as_array().unwrap();
    packages.iter().filter(|package| members.contains(id(package))).map(|package| (folder(package), package)).collect()
}

fn texts(list: &'static Value) -> impl Iterator<Item = &'static str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

fn id(package: &Value) -> &str {
    package["id"].as_str().unwrap()
}

fn folder(package: &Value) -> String {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// What a package is built with, tests aside: the names of libraries, and the folders of our own crates.
fn uses(package: &Value) -> (BTreeSet<&str>, BTreeSet<String>) {
    let (mut libraries, mut crates) = (BTreeSet::new(), BTreeSet::new());
    for dependency in package["dependencies"].as_array().unwrap() {
        if dependency["kind"] == "dev" {
            continue;
        }
        match dependency["path"].as_str() {
            Some(path) => crates.insert(Path::new(path).file_name().unwrap().to_str().unwrap().to_owned()),
            None => libraries.insert(dependency["name"].as_str().unwrap()),
        };
    }
    (libraries, crates)
}

#[test]
fn crates_use_whom_they_may() {
    let allowed: HashMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (name, package) in ours() {
        let Some(allowed) = allowed.get(name.as_str()) else {
            panic!("crates/{name} has no place in the design: add it to MAY_USE")
        };
        for used in uses(package).1 {
            assert!(allowed.contains(&used.as_str()), "{name} may not use {used}; it may use {allowed:?}");
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    for (name, package) in ours() {
        let (libraries, _) = uses(package);
        for (library, rooms) in PLACED {
            assert!(
                !libraries.contains(library) || rooms.contains(&name.as_str()),
                "{library} belongs to {rooms:?}, not to {name}"
            );
        }
        for library in IO {
            assert!(
                !libraries.contains(library) || !WITHOUT_IO.contains(&name.as_str()),
                "{name} does no I/O, what for {library}?"
            );
        }
    }
}

#[test]
fn only_outbound_and_the_simulators_open_connections() {
    for name in ours().keys().filter(|name| !CLIENTS.contains(&name.as_str())) {
        for file in sources(&root().join("crates").join(name).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for word in CLIENT_WORDS {
                assert!(!text.contains(word), "{} says {word}: connections are outbound's", file.display());
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Everything that is built into anything of ours on any platform, tests included: name and licence. `cargo metadata`
/// lists optional dependencies of our dependencies that nobody switches on; `cargo tree` does not.
fn linked() -> BTreeSet<(String, String)> {
    let output = cargo(&["tree", "--workspace", "--locked", "--target", "all", "--prefix", "none", "--format", "{p}|{l}"]);
    let lines = output.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.trim_end_matches(" (*)").split_once('|').unwrap())
        .map(|(name, licence)| (name.to_owned(), licence.to_owned()))
        .collect()
}

#[test]
fn one_tls_and_one_set_of_primitives() {
    for (package, _) in linked() {
        let name = package.split(' ').next().unwrap();
        assert!(!BANNED.contains(&name), "{name} is linked; `cargo tree --workspace --target all --invert {name}` says by whom");
    }
}

#[test]
fn licences_are_permissive() {
    let all = linked();
    assert!(all.len() > 100, "cargo tree said little: {all:?}");
    let unacceptable: Vec<_> = all.iter().filter(|(_, licence)| !acceptable(licence)).collect();
    assert!(unacceptable.is_empty(), "not to be shipped, or to be looked at: {unacceptable:#?}");
}

/// Whether an SPDX expression can be met with the licences of the list alone. `/` is the old way to write OR.
fn acceptable(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut at = 0;
    let holds = either(&words, &mut at);
    holds && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> bool {
    let mut holds = both(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        holds |= both(words, at);
    }
    holds
}

fn both(words: &[&str], at: &mut usize) -> bool {
    let mut holds = licence(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        holds &= licence(words, at);
    }
    holds
}

fn licence(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let holds = either(words, at);
        *at += 1;
        return holds;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    LICENCES.contains(&name.as_str())
}

#[test]
fn licence_expressions_are_read() {
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR GPL-2.0) AND ISC", "Apache-2.0 WITH LLVM-exception"] {
        assert!(acceptable(good), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND (GPL-2.0)", "", "MIT ISC", "GPL-2.0 WITH LLVM-exception", "AND MIT"]
    {
        assert!(!acceptable(bad), "{bad}");
    }
}

/// deny.toml says the same to cargo-deny.
#[test]
fn deny_toml_has_the_same_lists() {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    for name in LICENCES.iter().filter(|name| !name.contains(" WITH ")).chain(BANNED) {
        assert!(text.contains(&format!("\"{name}\"")), "deny.toml does not name {name}");
    }
}
