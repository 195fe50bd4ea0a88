//! A simulated push service, and the signer that may push there.

use domain::{SignerId, Timestamp};
use outbound::http::Roots;
use pkpass::development::{Authority, Validity};
use simulators::apns::ApnsServer;
use store::StoredSigner;
use workers::ApnsSettings;

use super::{House, PASS_TYPE, System, loopback};

/// The bytes in a PEM file of one thing.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

pub(crate) struct PushService {
    pub(crate) apns: ApnsServer,
    pub(crate) authority: Authority,
    /// The house's signer, at revision 1.
    pub(crate) signer: StoredSigner,
}

impl PushService {
    /// How long its certificates are valid.
    pub(crate) fn validity() -> Validity {
        Validity::days(1_600_000_000, 20_000)
    }

    /// Starts one that the house's workers push to, and lets the house sign its passes.
    pub(crate) async fn start(house: &mut House) -> Self {
        let authority = testkit::keys::authority("test", Self::validity()).unwrap();
        let pem = authority.issue_pass_type(PASS_TYPE, "TEAM123456", Self::validity()).unwrap();
        let id = SignerId::mint(Timestamp::from_seconds(1), &System);
        let signer = StoredSigner {
            id,
            pass_type: PASS_TYPE.to_owned(),
            team: "TEAM123456".to_owned(),
            certificates: format!("{}{}", pem.certificate, authority.intermediate_pem()),
            not_after: Timestamp::from_seconds(2_000_000_000),
            sealed_key: house.store.seal_for::<StoredSigner>(house.org, id.uuid(), pem.key.as_bytes()).unwrap(),
            previous: None,
            told: None,
            created_at: Timestamp::from_seconds(1),
        };
        assert!(house.store.put(&house.change(), &signer, 0).await.unwrap());
        let server = authority.issue_tls_server(&["localhost", "127.0.0.1"], Self::validity()).unwrap();
        let root = rustls_pki_types::CertificateDer::from(authority.root_der().to_vec());
        let apns = ApnsServer::start(vec![der(&server.certificate).into()], der(&server.key), &root).await.unwrap();
        house.apns = ApnsSettings { url: apns.url(), roots: Roots::only(&[root]).unwrap(), policy: loopback() };
        Self { apns, authority, signer }
    }
}
