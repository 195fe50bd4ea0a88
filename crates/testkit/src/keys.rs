//! Keys that are the same for all tests of a run: an RSA key costs more than most tests that need one.
//!
//! Tests run in processes of their own. With `TESTKIT_KEYS=FOLDER`, which `./test` sets, the first that wants a key makes it and
//! the others read it; without, everyone makes their own.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use google_wallet::{ServiceAccount, SigningError};
use pkpass::development::{Authority, DevelopmentError, Validity};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder cannot be used.
    #[error("the folder of keys: {0}")]
    Folder(#[from] io::Error),
    /// The authority was not made, or not read again.
    #[error("the development authority: {0}")]
    Authority(#[from] DevelopmentError),
    /// The service account's key was not made.
    #[error("the service account: {0}")]
    ServiceAccount(#[from] SigningError),
}

/// A development root with its intermediate, by its label and validity.
///
/// # Errors
/// When it can be neither made nor read.
pub fn authority(label: &str, validity: Validity) -> Result<Authority, KeysError> {
    let name = format!("authority {label} {} {}", validity.not_before, validity.not_after);
    let pem = once(&name, || Ok(Authority::create(label, validity)?.to_pem().to_string()))?;
    Ok(Authority::from_pem(&pem)?)
}

/// The key file of a development service account of Google's, as JSON.
///
/// # Errors
/// When it can be neither made nor read.
pub fn service_account(client_email: &str) -> Result<String, KeysError> {
    const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
    once(&format!("service account {client_email}"), || {
        let file = ServiceAccount::development_key_file(client_email, TOKEN_URL)?;
        Ok(String::from_utf8_lossy(&file).into_owned())
    })
}

/// What stands under a name, made if nobody made it; whoever comes meanwhile waits.
fn once(name: &str, make: impl FnOnce() -> Result<String, KeysError>) -> Result<String, KeysError> {
    let Some(folder) = crate::variable("TESTKIT_KEYS") else { return make() };
    fs::create_dir_all(&folder)?;
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(Path::new(&folder).join(name))?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        text = make()?;
        file.write_all(text.as_bytes())?;
    }
    Ok(text)
}
