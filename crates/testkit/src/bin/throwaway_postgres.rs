//! `throwaway-postgres COMMAND…`: runs a command with a PostgreSQL of its own, named in `TESTKIT_POSTGRES`, and
//! returns the command's exit code. The server ends with the command, or with this process when that is killed.

use std::{
    io::Write as _,
    process::{Command, ExitCode},
};

use testkit::postgres::{Cluster, SERVER_VARIABLE};

/// Exit code when there is no server or the command cannot be run, as `env` and its kin use it.
const CANNOT_RUN: u8 = 125;
/// What a shell adds to the number of the signal that ended a command.
const SIGNAL_BASE: i32 = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        return fail("what to run? usage: throwaway-postgres COMMAND [ARGUMENT]…");
    };
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(error) => return fail(&error.to_string()),
    };
    match Command::new(&program).args(arguments).env(SERVER_VARIABLE, cluster.server_url()).status() {
        Ok(status) => ExitCode::from(code_of(status)),
        Err(error) => fail(&format!("cannot run {}: {error}", program.to_string_lossy())),
    }
}

fn code_of(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(CANNOT_RUN)
}

fn fail(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "throwaway-postgres: {why}");
    ExitCode::from(CANNOT_RUN)
}
