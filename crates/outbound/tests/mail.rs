//! Mail, handed to a real server (aiosmtpd): in the clear, over STARTTLS, over TLS, with a login, and with what goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use outbound::{
    http::{Client, Failure, Roots, Settings, TlsReason},
    mail::{Attachment, Login, Mail, Mailer, Said, Server, Unsent},
    policy::AddressPolicy,
};
use testkit::{
    mail::{MailServer, Manner},
    tls::{Authority, Fault},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use zeroize::Zeroizing;

const AMPLE: Duration = Duration::from_secs(60);

fn local() -> AddressPolicy {
    AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }
}

fn mailer(authority: Option<&Authority>) -> Mailer {
    let roots: Vec<_> = authority.map(Authority::root).into_iter().collect();
    Mailer::like(&Client::new(Settings::new(local(), Roots::only(&roots).unwrap())).unwrap())
}

fn server(scheme: &str, port: u16) -> Server {
    Server::parse(&local(), &format!("{scheme}://localhost:{port}")).unwrap()
}

fn mail(to: &str) -> Mail {
    Mail {
        message_id: "0001@example.com".to_owned(),
        date: 1_795_255_200,
        from: "Kaffee Klub <klub@example.com>".to_owned(),
        to: to.to_owned(),
        subject: "Grüße 🎉 und eine Zeile, die so lang ist, dass sie in keine einzige Kopfzeile passt".to_owned(),
        text: "Hallo Anna,\n.\n..\nGrüße\n".to_owned(),
        html: Some("<p>Grüße</p>".to_owned()),
        attachments: vec![Attachment {
            name: "pass.pkpass".to_owned(),
            media: "application/vnd.apple.pkpass".to_owned(),
            bytes: (0..=255).collect(),
        }],
        ..Mail::default()
    }
}

#[tokio::test]
async fn what_is_sent_arrives_as_it_was_over_one_connection() {
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let (mailer, to) = (mailer(None), server("smtp+plain", there.port));
    for _ in 0..2 {
        let said = mailer.send(&to, None, &mail("anna@example.org"), AMPLE).await.unwrap();
        assert_eq!((said.command, said.code, said.text.as_str()), ("DATA", 250, "2.0.0 queued as 0001"));
    }
    let got = there.wait_for(2).await.unwrap();
    let first = &got[0];
    assert_eq!(first["from"], "klub@example.com");
    assert_eq!(first["headers"]["from"], "Kaffee Klub <klub@example.com>");
    assert_eq!(first["headers"]["message-id"], "<0001@example.com>");
    assert_eq!(first["headers"]["subject"], mail("").subject);
    let text = first["text"].as_str().unwrap().replace("\r\n", "\n");
    assert_eq!(text, mail("").text, "dots alone on a line are no end");
    assert_eq!(first["html"].as_str().unwrap().trim(), "<p>Grüße</p>");
    assert_eq!(first["files"][0]["name"], "pass.pkpass");
    assert_eq!(first["files"][0]["type"], "application/vnd.apple.pkpass");
    assert_eq!(first["files"][0]["content"].as_str().unwrap().len(), 344, "256 bytes in base64");
    assert_eq!(first["peer"], got[1]["peer"], "the connection is used again");
}

#[tokio::test]
async fn refusals_are_told_apart_and_do_not_end_the_connection() {
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let (mailer, to) = (mailer(None), server("smtp+plain", there.port));
    let say = |command, code, text: &str| Said { command, code, text: text.to_owned() };
    for (address, expected) in [
        ("nobody@example.org", say("RCPT", 550, "5.1.1 no such user here")),
        ("full@example.org", say("RCPT", 452, "4.2.2 mailbox full")),
        ("spam@example.org", say("DATA", 554, "5.7.1 that looks like spam")),
    ] {
        assert_eq!(mailer.send(&to, None, &mail(address), AMPLE).await.unwrap(), expected);
    }
    assert_eq!(mailer.send(&to, None, &mail("anna@example.org"), AMPLE).await.unwrap().code, 250);
    assert_eq!(there.wait_for(1).await.unwrap().len(), 1);
    assert!(matches!(mailer.send(&to, None, &mail("no address"), AMPLE).await, Err(Unsent::Bad(_))));
}

#[tokio::test]
async fn tls_is_kept_to_and_checked() {
    let authority = Authority::new("Mail").unwrap();
    let login = Login { user: "club".to_owned(), password: Zeroizing::new("hush".to_owned()) };
    for (from_the_start, scheme) in [(true, "smtps"), (false, "smtp")] {
        let leaf = authority.leaf("localhost", Fault::None).unwrap();
        let manner = Manner { tls: Some((from_the_start, leaf)), login: Some(("club".to_owned(), "hush".to_owned())) };
        let there = MailServer::start(&manner).await.unwrap();
        let to = server(scheme, there.port);
        let known = mailer(Some(&authority));
        assert_eq!(known.send(&to, Some(&login), &mail("anna@example.org"), AMPLE).await.unwrap().code, 250, "{scheme}");
        let wrong = Login { password: Zeroizing::new("no".to_owned()), ..login.clone() };
        let refused = known.send(&to, Some(&wrong), &mail("anna@example.org"), AMPLE).await.unwrap();
        assert_eq!((refused.command, refused.code), ("AUTH", 535), "{scheme}");
        assert_eq!(
            known.send(&to, None, &mail("anna@example.org"), AMPLE).await.unwrap().code,
            530,
            "{scheme}: a login is asked for"
        );
        let unknown = mailer(None).send(&to, Some(&login), &mail("anna@example.org"), AMPLE).await;
        let is_unknown = matches!(unknown, Err(Unsent::Failed(Failure::Tls { reason: TlsReason::UnknownIssuer, .. })));
        assert!(is_unknown, "{scheme}: {unknown:?}");
        assert_eq!(there.wait_for(1).await.unwrap()[0]["tls"], true);
    }
    let other = authority.leaf("localhost", Fault::OtherHost).unwrap();
    let there = MailServer::start(&Manner { tls: Some((false, other)), login: None }).await.unwrap();
    let refused = mailer(Some(&authority)).send(&server("smtp", there.port), None, &mail("anna@example.org"), AMPLE).await;
    assert!(matches!(refused, Err(Unsent::Failed(Failure::Tls { reason: TlsReason::WrongHost, .. }))), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_that_was_to_be_encrypted() {
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let login = Login { user: "club".to_owned(), password: Zeroizing::new("hush".to_owned()) };
    let mailer = mailer(None);
    let without = mailer.send(&server("smtp", there.port), None, &mail("anna@example.org"), AMPLE).await;
    assert!(matches!(&without, Err(Unsent::Unfit(why)) if why.contains("STARTTLS")), "{without:?}");
    let plain = mailer.send(&server("smtp+plain", there.port), Some(&login), &mail("anna@example.org"), AMPLE).await;
    assert!(matches!(&plain, Err(Unsent::Unfit(why)) if why.contains("encrypted")), "{plain:?}");
    assert!(there.got().is_empty());
}

/// A server that says these bytes at once and then listens.
async fn rude(words: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let words = words.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&words).await;
                let mut buffer = [0; 1_024];
                while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {}
            });
        }
    });
    port
}

#[tokio::test]
async fn hostile_servers_are_given_up() {
    let mailer = mailer(None);
    let endless = [b"220-".to_vec(), vec![b'x'; 4 << 20]].concat();
    let many_lines = b"220-x\r\n".repeat(400_000);
    for (words, scheme) in [
        (endless.clone(), "smtp+plain"),
        (endless, "smtp"),
        (many_lines.clone(), "smtp+plain"),
        (many_lines, "smtp"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "smtp+plain"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "smtp"),
        // What was said in the clear is no answer under TLS.
        (b"220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n250 hi\r\n250 OK\r\n".to_vec(), "smtp"),
    ] {
        let port = rude(words).await;
        let sent = mailer.send(&server(scheme, port), None, &mail("anna@example.org"), AMPLE).await;
        assert!(sent.is_err(), "{scheme}: {sent:?}");
    }
    let mute = testkit::mail::mute().await.unwrap();
    let sent = mailer.send(&server("smtp+plain", mute), None, &mail("anna@example.org"), AMPLE).await;
    assert!(matches!(sent, Err(Unsent::Unanswered(_))), "{sent:?}");
    let silent = rude(Vec::new()).await;
    for scheme in ["smtp+plain", "smtp", "smtps"] {
        let short = Duration::from_millis(300);
        let sent = mailer.send(&server(scheme, silent), None, &mail("anna@example.org"), short).await;
        assert!(matches!(sent, Err(Unsent::Failed(Failure::Timeout { .. }))), "{scheme}: {sent:?}");
    }
    let strict = Mailer::like(&Client::new(Settings::new(AddressPolicy::default(), Roots::only(&[]).unwrap())).unwrap());
    let forbidden = strict.send(&server("smtp", 25), None, &mail("anna@example.org"), AMPLE).await;
    assert!(
        matches!(forbidden, Err(Unsent::Failed(Failure::Forbidden(_)))),
        "the address is judged when it is dialled: {forbidden:?}"
    );
}
