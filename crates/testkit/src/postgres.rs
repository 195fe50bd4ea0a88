//! A throwaway PostgreSQL: the real server on a free loopback port, with durability as in production, gone without a
//! trace when its owner is.
//!
//! The server is the child of a small shell that waits for its standard input to end. That pipe belongs to the process
//! which started the cluster, so the server stops and its files go even when that process is killed with signal 9.

use std::{
    fmt::Write as _,
    fs, io,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// Names a running server (`postgres://user:password@host:port`, a user who may create databases) that tests use instead
/// of starting one each. Set by `throwaway-postgres`.
pub const SERVER_VARIABLE: &str = "TESTKIT_POSTGRES";

/// Says on which database suites run that run on both: `postgres`, or `sqlite`, which it is without it.
pub const DATABASE_VARIABLE: &str = "TESTKIT_DATABASE";

/// How long a server may take to accept connections.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often the start is looked at.
const START_POLL: Duration = Duration::from_millis(20);
/// How often another port is tried when one was taken between choosing and binding it.
const START_ATTEMPTS: u32 = 3;
/// Sessions that a cluster serves at once.
const MAX_CONNECTIONS: u32 = 200;
/// The superuser of a cluster.
const USER: &str = "passbridge";
/// Users as whom the server runs when we are root, which PostgreSQL refuses, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Runs the server until standard input ends, then stops it at once and removes its folder. Until then it can be told to
/// stop the server and to start it again.
const WATCHDOG: &str = r#"
folder=$1; shift
start() { "$@" >>"$folder/log" 2>&1 </dev/null & server=$!; }
start "$@"
while read -r word; do
  case $word in
    stop) kill -INT "$server"; wait "$server" ;;
    start) start "$@" ;;
  esac
done
kill -QUIT "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$folder"
"#;

/// Why there is no throwaway PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server programs.
    #[error("PostgreSQL's `{0}` is neither in PATH nor in /usr/lib/postgresql/*/bin: install the Debian package `postgresql`")]
    Missing(&'static str),
    /// No user to run as.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoUser,
    /// A folder or process could not be made.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not start.
    #[error("PostgreSQL did not start; its log says:\n{0}")]
    NotStarted(String),
    /// The server answered with an error.
    #[error("PostgreSQL at {server} refused: {source}")]
    Refused {
        /// Host and port.
        server: String,
        /// Its answer.
        source: tokio_postgres::Error,
    },
    /// The variable does not hold a PostgreSQL URL.
    #[error("{SERVER_VARIABLE} is no PostgreSQL URL: {0}")]
    BadVariable(tokio_postgres::Error),
}

impl ClusterError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// A PostgreSQL server for tests: one of our own, or the one that [`SERVER_VARIABLE`] names.
#[derive(Debug)]
pub struct Cluster {
    /// `postgres://user:password@host:port`, without a database.
    server: String,
    /// The shell that watches our own server.
    watchdog: Option<Child>,
    /// Where our own server lives.
    folder: PathBuf,
    databases: AtomicU32,
}

/// A database of its own where [`DATABASE_VARIABLE`] asks for PostgreSQL; nothing where the suite runs on SQLite.
///
/// # Panics
/// When there is no PostgreSQL to be had, or the variable says something else.
#[expect(clippy::panic, reason = "a suite that was asked to run on PostgreSQL must not run on something else")]
pub async fn database_if_asked() -> Option<String> {
    match crate::variable(DATABASE_VARIABLE).as_deref() {
        None | Some("sqlite") => None,
        Some("postgres") => {
            let cluster = Cluster::shared().await.unwrap_or_else(|error| panic!("{error}"));
            Some(cluster.create_database().await.unwrap_or_else(|error| panic!("{error}")))
        }
        Some(other) => panic!("{DATABASE_VARIABLE} is `sqlite` or `postgres`, not {other}"),
    }
}

static SHARED: OnceCell<Cluster> = OnceCell::const_new();

impl Cluster {
    /// The cluster of this process: the server that [`SERVER_VARIABLE`] names, else one started at the first call, which
    /// ends with the process.
    ///
    /// # Errors
    /// When there is no server to be had; tests should fail with it and not skip.
    pub async fn shared() -> Result<&'static Self, ClusterError> {
        SHARED
            .get_or_try_init(|| async {
                match crate::variable(SERVER_VARIABLE) {
                    Some(server) => Self::at(&server),
                    None => Self::start().await,
                }
            })
            .await
    }

    /// A server that somebody else runs.
    fn at(server: &str) -> Result<Self, ClusterError> {
        server.parse::<tokio_postgres::Config>().map_err(ClusterError::BadVariable)?;
        Ok(Self {
            server: server.trim_end_matches('/').to_owned(),
            watchdog: None,
            folder: PathBuf::new(),
            databases: AtomicU32::new(0),
        })
    }

    /// Starts a server of our own. It stops when this is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// When programs are missing or the server does not come up within a minute.
    pub async fn start() -> Result<Self, ClusterError> {
        let mut last = ClusterError::NotStarted(String::new());
        for _ in 0..START_ATTEMPTS {
            match Self::start_once().await {
                Err(ClusterError::NotStarted(log)) => last = ClusterError::NotStarted(log),
                other => return other,
            }
        }
        Err(last)
    }

    async fn start_once() -> Result<Self, ClusterError> {
        let (initdb, postgres) = (program("initdb")?, program("postgres")?);
        let user = unprivileged_user()?;
        let folder = tempfile::Builder::new()
            .prefix("passbridge-postgres-")
            .tempdir()
            .map_err(ClusterError::io("make a temporary folder"))?;
        let password = random_password()?;
        fs::write(folder.path().join("password"), &password).map_err(ClusterError::io("write the password file"))?;
        if let Some((uid, gid)) = user {
            for path in [folder.path(), &folder.path().join("password")] {
                chown(path, Some(uid), Some(gid)).map_err(ClusterError::io("hand the folder to the server's user"))?;
            }
        }
        make_data_folder(&initdb, folder.path(), user)?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(ClusterError::io("find a free port"))?
            .port();
        // From here on the watchdog removes the folder.
        let folder = folder.keep();
        let watchdog = run_as(Command::new("sh"), user)
            .args(["-c", WATCHDOG, "throwaway-postgres"])
            .arg(&folder)
            .arg(postgres)
            .arg("-D")
            .arg(folder.join("data"))
            .args(settings(port).iter().flat_map(|setting| ["-c", setting]))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ClusterError::io("start the server's watchdog"))?;
        let cluster = Self {
            server: format!("postgres://{USER}:{password}@127.0.0.1:{port}"),
            watchdog: Some(watchdog),
            folder,
            databases: AtomicU32::new(0),
        };
        wait_until_ready(&cluster.folder, true).await?;
        Ok(cluster)
    }

    /// The server's URL without a database, for [`SERVER_VARIABLE`].
    pub fn server_url(&self) -> &str {
        &self.server
    }

    /// The URL of the server's own database `postgres`, for administration.
    pub fn admin_url(&self) -> String {
        format!("{}/postgres", self.server)
    }

    /// Makes an empty database of its own for a test and returns its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self) -> Result<String, ClusterError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        // A process number comes back some day: what its former owner left goes first.
        self.administer(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        self.administer(&format!("CREATE DATABASE {name}")).await?;
        Ok(format!("{}/{name}", self.server))
    }

    /// Makes an empty database whose tables live in a folder, on whatever disk that is, and returns its URL.
    ///
    /// # Errors
    /// When the server refuses, or the folder cannot be handed to the server's user.
    pub async fn create_database_on(&self, folder: &Path) -> Result<String, ClusterError> {
        if let Some((uid, gid)) = unprivileged_user()? {
            chown(folder, Some(uid), Some(gid)).map_err(ClusterError::io("hand the folder to the server's user"))?;
        }
        let name = format!("test_on_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("CREATE TABLESPACE {name} LOCATION '{}'", folder.display())).await?;
        self.administer(&format!("CREATE DATABASE {name} TABLESPACE {name}")).await?;
        Ok(format!("{}/{name}", self.server))
    }

    /// Runs one administrative statement, such as `SELECT pg_terminate_backend(…)`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn administer(&self, sql: &str) -> Result<(), ClusterError> {
        execute(&self.admin_url(), sql).await
    }

    /// Has the server take TLS connections with this certificate and key, in PEM. It reads its configuration anew a moment after
    /// this returns.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn take_tls(&self, certificate: &str, key: &str) -> Result<(), ClusterError> {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            // COPY writes its rows one per line, and as the server, which alone may read its key.
            let lines = text.lines().map(|line| format!("('{line}')")).collect::<Vec<_>>().join(",");
            let sql = format!("COPY (SELECT * FROM (VALUES {lines}) AS t) TO PROGRAM 'umask 077; cat >{name}'");
            self.administer(&sql).await?;
        }
        self.administer("ALTER SYSTEM SET ssl = on").await?;
        self.administer("SELECT pg_reload_conf()").await
    }

    /// The numbers that one row of an administrator's query has, each a `float8`.
    ///
    /// # Errors
    /// When the server refuses, or answers with something else.
    pub async fn numbers(&self, sql: &str) -> Result<Vec<f64>, ClusterError> {
        let refused = |source| ClusterError::Refused { server: self.server.clone(), source };
        let (client, connection) = tokio_postgres::connect(&self.admin_url(), NoTls).await.map_err(refused)?;
        let driver = tokio::spawn(connection);
        let row = client.query_one(sql, &[]).await.map_err(refused);
        driver.abort();
        let row = row?;
        (0..row.len()).map(|column| row.try_get(column).map_err(refused)).collect()
    }

    /// Stops the server as an administrator does: its connections are cut, what is committed is kept. It can be
    /// [started again](Self::resume).
    ///
    /// # Errors
    /// When it is not a server of our own, or does not stop within a minute.
    pub async fn stop(&mut self) -> Result<(), ClusterError> {
        self.tell("stop")?;
        let lock = self.folder.join("data/postmaster.pid");
        let deadline = tokio::time::Instant::now() + START_DEADLINE;
        while lock.exists() {
            if tokio::time::Instant::now() > deadline {
                return Err(ClusterError::NotStarted("it does not stop".to_owned()));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    }

    /// Starts the server again after [`Self::stop`].
    ///
    /// # Errors
    /// When it does not come up within a minute.
    pub async fn resume(&mut self) -> Result<(), ClusterError> {
        self.tell("start")?;
        wait_until_ready(&self.folder, false).await
    }

    fn tell(&mut self, word: &str) -> Result<(), ClusterError> {
        use io::Write as _;
        let pipe = self.watchdog.as_mut().and_then(|watchdog| watchdog.stdin.as_mut());
        let pipe = pipe.ok_or_else(|| ClusterError::NotStarted("somebody else runs this server".to_owned()))?;
        writeln!(pipe, "{word}").map_err(ClusterError::io("reach the server's watchdog"))
    }
}

/// Runs statements on a database.
///
/// # Errors
/// When the server refuses.
pub async fn execute(url: &str, sql: &str) -> Result<(), ClusterError> {
    let server = url.rsplit('@').next().unwrap_or_default().split('/').next().unwrap_or_default().to_owned();
    let refused = |source| ClusterError::Refused { server: server.clone(), source };
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(refused)?;
    let driver = tokio::spawn(connection);
    let outcome = client.batch_execute(sql).await.map_err(refused);
    driver.abort();
    outcome
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

/// Finds a server program in PATH, else the newest of Debian's.
#[expect(clippy::disallowed_methods, reason = "looking for a program in PATH is what PATH is for")]
fn program(name: &'static str) -> Result<PathBuf, ClusterError> {
    let in_path = std::env::var("PATH").unwrap_or_default();
    let found = in_path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    if let Some(path) = found {
        return Ok(path);
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name))))
        .filter(|(_, path)| path.is_file())
        .collect();
    versions.sort();
    versions.pop().map(|(_, path)| path).ok_or(ClusterError::Missing(name))
}

/// Whom to run the server as: nobody else unless we are root.
fn unprivileged_user() -> Result<Option<(u32, u32)>, ClusterError> {
    if ask_id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    UNPRIVILEGED
        .iter()
        .find_map(|name| Some((ask_id(&["-u", name])?, ask_id(&["-g", name])?)))
        .map(Some)
        .ok_or(ClusterError::NoUser)
}

fn ask_id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn run_as(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

fn random_password() -> Result<String, ClusterError> {
    use io::Read as _;
    let mut bytes = [0u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(ClusterError::io("draw a password"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn make_data_folder(initdb: &Path, folder: &Path, user: Option<(u32, u32)>) -> Result<(), ClusterError> {
    let output = run_as(Command::new(initdb), user)
        .arg("-D")
        .arg(folder.join("data"))
        .arg("--pwfile")
        .arg(folder.join("password"))
        .args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"])
        .current_dir("/")
        .output()
        .map_err(ClusterError::io("run initdb"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ClusterError::NotStarted(String::from_utf8_lossy(&said).into_owned()))
}

/// Durable as in production, small, and reachable over loopback only.
fn settings(port: u16) -> [String; 8] {
    [
        "listen_addresses=127.0.0.1".into(),
        format!("port={port}"),
        "unix_socket_directories=".into(),
        "fsync=on".into(),
        "synchronous_commit=on".into(),
        "shared_buffers=32MB".into(),
        format!("max_connections={MAX_CONNECTIONS}"),
        "logging_collector=off".into(),
    ]
}

/// Waits until the server says in its lock file that it accepts connections. At its first start nobody else knows it, so
/// that a fatal error is its own.
async fn wait_until_ready(folder: &Path, first: bool) -> Result<(), ClusterError> {
    let deadline = tokio::time::Instant::now() + START_DEADLINE;
    loop {
        let lock = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        if lock.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
            return Ok(());
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if first && log.contains("FATAL:") || tokio::time::Instant::now() > deadline {
            return Err(ClusterError::NotStarted(log));
        }
        tokio::time::sleep(START_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(url: &str, sql: &str) -> String {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn databases_are_empty_and_durable() {
        let cluster = Cluster::shared().await.unwrap();
        let (one, other) = (cluster.create_database().await.unwrap(), cluster.create_database().await.unwrap());
        assert_ne!(one, other);
        for url in [&one, &other] {
            assert_eq!(ask(url, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await, "0");
            assert_eq!(ask(url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')").await, "onon");
        }
    }

    #[tokio::test]
    async fn a_dropped_cluster_leaves_nothing() {
        let cluster = Cluster::start().await.unwrap();
        let url = cluster.admin_url();
        let folder = ask(&url, "SELECT current_setting('data_directory')").await;
        assert!(Path::new(&folder).parent().unwrap().exists());
        drop(cluster);
        assert!(tokio_postgres::connect(&url, NoTls).await.is_err(), "still answers");
        assert!(!Path::new(&folder).parent().unwrap().exists(), "left its files");
    }
}
