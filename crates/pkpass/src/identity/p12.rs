//! PKCS#12 files (RFC 7292): the old encryption of Keychain Access (RC2, 3DES) and the new one (AES).

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use zeroize::Zeroizing;

use super::IdentityError;

/// What an exported identity holds.
pub(super) struct Contents {
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Opens the file and takes its first key and all its certificates.
pub(super) fn open(file: &[u8], password: &str) -> Result<Contents, IdentityError> {
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|fault| match fault {
        Error::MacError(_) | Error::UnpadError => IdentityError::PassphraseWrong(".p12"),
        other => IdentityError::P12(other.to_string()),
    })?;
    let key = archive.keys.first().ok_or(IdentityError::P12NoKey)?;
    Ok(Contents {
        key: Zeroizing::new(key.key.as_der().to_vec()),
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    })
}
