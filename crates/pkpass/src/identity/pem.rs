//! PEM text (RFC 7468), with the headers of the traditional key format (RFC 1421).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::IdentityError;
use crate::asn1::{INTEGER, Reader, SEQUENCE};

/// Most blocks that are looked at in one file.
const MAX_BLOCKS: usize = 32;

/// One block.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// True when the traditional format says that the content is encrypted.
    pub(super) has_encryption_header: bool,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// The blocks of a text; what stands around them (openssl's "Bag Attributes") is passed over.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, IdentityError> {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else { continue };
        let mut has_encryption_header = false;
        let mut body = Zeroizing::new(String::with_capacity(text.len().min(8192)));
        loop {
            let line = lines.next().ok_or(IdentityError::Pem)?;
            if let Some(end) = line.strip_prefix("-----END ") {
                if end.strip_suffix("-----") != Some(label) {
                    return Err(IdentityError::Pem);
                }
                break;
            }
            match line.split_once(':') {
                Some((name, value)) => has_encryption_header |= name == "Proc-Type" && value.contains("ENCRYPTED"),
                None => body.push_str(line),
            }
        }
        let der = Zeroizing::new(if has_encryption_header {
            Vec::new()
        } else {
            STANDARD.decode(body.as_bytes()).map_err(|_| IdentityError::Pem)?
        });
        out.push(Block { label, has_encryption_header, der });
        if out.len() >= MAX_BLOCKS {
            break;
        }
    }
    Ok(out)
}

/// Whether a file is a PKCS#12 archive: DER whose first value is the version 3.
pub(super) fn is_p12(file: &[u8]) -> bool {
    let first = Reader::new(file).expect(SEQUENCE).and_then(|outer| outer.inside().next());
    first.is_ok_and(|version| version.raw == [INTEGER, 1, 3])
}

/// The certificates of a PEM text, or the one of a DER file.
pub(super) fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    if file.first() == Some(&SEQUENCE) {
        return Ok(vec![file.to_vec()]);
    }
    let is_certificate = |block: &Block<'_>| matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE");
    Ok(blocks(file)?.into_iter().filter(is_certificate).map(|block| block.der.to_vec()).collect())
}
