//! TLS to the database: asked for by the URL, and never without checking whom one talks to.
#![allow(clippy::unwrap_used, clippy::panic)]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::{Backend, StoreError, conformance::START};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn the_servers_certificate_is_checked() {
    let cluster = Cluster::start().await.unwrap();
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    cluster.take_tls(&certificate.pem(), &key.serialize_pem()).await.unwrap();

    let url = cluster.create_database().await.unwrap();
    let secure = format!("{url}?sslmode=require");
    let trusting = |pem: String| Options { authorities: Some(pem.into_bytes()), ..Options::default() };
    // The server reads its configuration anew a moment after it was told to.
    let node = loop {
        match Postgres::open(&secure, &trusting(ours.pem())).await {
            Ok(node) => break node,
            Err(error) => assert!(error.to_string().contains("TLS"), "{error}"),
        }
    };
    node.migrate(START).await.unwrap();
    node.ready().await.unwrap();

    let stranger = Postgres::open(&secure, &trusting(authority().pem())).await;
    let Err(StoreError::Unavailable(why)) = stranger else { panic!("a stranger's certificate was taken: {stranger:?}") };
    assert!(why.contains("certificate"), "{why}");
    let other_name = secure.replace("127.0.0.1", "localhost");
    let misnamed = Postgres::open(&other_name, &trusting(ours.pem())).await;
    assert!(matches!(misnamed, Err(StoreError::Unavailable(_))), "{misnamed:?}");
    let nothing = Postgres::open(&secure, &trusting("no certificate".to_owned())).await;
    assert!(matches!(nothing, Err(StoreError::Unavailable(_))), "{nothing:?}");
}
