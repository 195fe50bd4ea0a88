//! How a request of a service gets there: by HTTP, as rows into a database or files, or as messages into a stream.

use std::collections::BTreeSet;

use bytes::Bytes;
use connectors::{
    catalog::Carrier,
    kit::{Account, BrokerAccount, Mail, Reply, Request, SMTP_COMMAND, Sasl, Secrets, StreamAccount, StreamLogin, StreamTls},
};
use http::{HeaderMap, HeaderValue};
use outbound::{
    http::{Client, Failure, Limits},
    mail::{Attachment, Login, Server, Unsent},
    sql::{self, Batch, Comparison, Place, Unwritten},
    stream::{self, Security, kafka, nats},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{files, proof, send::ready, targets::Ready, ways::Way};
use crate::shard::House;

/// What came of a request.
pub(super) struct Carried {
    /// What came back, where something did.
    pub(super) reply: Option<Reply>,
    /// Why nothing came back, or what a reply says that is no status.
    pub(super) error: Option<String>,
    pub(super) timed_out: bool,
}

/// Sends a request; why not, when it cannot be sent as it is.
pub(super) async fn send(
    house: &House,
    carrier: Carrier,
    to: &Ready,
    (secrets, client): (&Secrets, &Client),
    request: &Request,
    limits: Limits,
) -> Result<Carried, String> {
    match carrier {
        Carrier::Mail => mail(&to.way, to, secrets, request, limits).await,
        Carrier::Http => Ok(match to.proof.send(client, ready(request)?, limits).await {
            Ok(reply) => {
                let reply = Reply { status: reply.status.as_u16(), headers: reply.headers, body: reply.body };
                Carried { reply: Some(reply), error: None, timed_out: false }
            }
            Err(proof::Unsent::Failed(failure)) => failed(&failure),
            Err(proof::Unsent::Unproven(why)) => Carried { reply: None, error: Some(why), timed_out: false },
        }),
        Carrier::Objects(bucket) => {
            files::write(house, client, to.org, bucket(to.target(), &secrets.credentials), request, limits).await
        }
        Carrier::Nats(account) => {
            let account = account(to.target(), &secrets.credentials);
            let batch = serde_json::from_slice(&request.body).map_err(|error| format!("its messages cannot be sent: {error}"))?;
            let place = server(request.url.clone(), account);
            Ok(published(nats::publish(client, &place, &batch, limits.deadline).await))
        }
        Carrier::Kafka(account) => {
            let account = account(to.target(), &secrets.credentials);
            let batch = serde_json::from_slice(&request.body).map_err(|error| format!("its messages cannot be sent: {error}"))?;
            let place = cluster(request.url.clone(), account);
            Ok(published(kafka::publish(client, &place, &batch, limits.deadline).await))
        }
        Carrier::Database(account) => rows(client, account(to.target(), &secrets.credentials), request, limits).await,
    }
}

/// Writes the rows of a request, or compares them with those that are there.
async fn rows(client: &Client, account: Account, request: &Request, limits: Limits) -> Result<Carried, String> {
    let place = Place {
        url: request.url.clone(),
        user: account.user,
        password: account.password,
        tls: account.tls,
        authorities: account.authorities,
    };
    let rows = serde_json::from_slice(&request.body).map_err(|error| format!("its rows cannot be written: {error}"))?;
    let came = match rows {
        Rows::Write(batch) => sql::write(client, &place, &batch, limits.deadline).await.map(|()| Bytes::new()),
        Rows::Compare(rows) => {
            let other = sql::compare(client, &place, &rows, limits.deadline).await;
            other.map(|other| Bytes::from(json!(other).to_string()))
        }
    };
    Ok(match came {
        Ok(body) => answered(200, body, None),
        Err(Unwritten::Failed(failure)) => failed(&failure),
        Err(Unwritten::Refused(refused)) => {
            let body = json!({ "sqlstate": refused.sqlstate, "message": refused.message }).to_string();
            answered(400, Bytes::from(body), Some(refused.safe()))
        }
    })
}

/// What is done with rows of a database.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Rows {
    Write(Batch),
    Compare(Comparison),
}

fn server(url: String, account: StreamAccount) -> nats::Place {
    let login = match account.login {
        StreamLogin::None => nats::Login::None,
        StreamLogin::User { user, password } => nats::Login::User { user, password },
        StreamLogin::Token(token) => nats::Login::Token(token),
        StreamLogin::Nkey(seed) => nats::Login::Nkey(seed),
        StreamLogin::Credentials(text) => nats::Login::Credentials(text),
    };
    nats::Place { url, login, security: security(account.tls), authorities: account.authorities, inbox: account.inbox }
}

fn cluster(url: String, account: BrokerAccount) -> kafka::Place {
    let login = account.login.map(|login| {
        let mechanism = match login.mechanism {
            Sasl::Plain => kafka::Mechanism::Plain,
            Sasl::ScramSha256 => kafka::Mechanism::ScramSha256,
            Sasl::ScramSha512 => kafka::Mechanism::ScramSha512,
        };
        kafka::Login { mechanism, user: login.user, password: login.password }
    });
    kafka::Place { url, login, security: security(account.tls), authorities: account.authorities }
}

const fn security(tls: StreamTls) -> Security {
    match tls {
        StreamTls::Verify => Security::Tls,
        StreamTls::First => Security::TlsFirst,
        StreamTls::Off => Security::Plain,
    }
}

/// What a stream answered: with an answer for each message, what is wrong with any of them is said once.
fn published(outcome: Result<Vec<stream::Answer>, stream::Unsent>) -> Carried {
    match outcome {
        Ok(answers) => {
            let refused = answers.iter().filter_map(|answer| match answer {
                stream::Answer::Refused(refused) => Some(refused.safe()),
                stream::Answer::Kept { .. } => None,
            });
            let reasons: BTreeSet<String> = refused.collect();
            let error = Some(reasons.into_iter().collect::<Vec<_>>().join("; or: ")).filter(|error| !error.is_empty());
            answered(200, Bytes::from(json!(answers).to_string()), error)
        }
        Err(stream::Unsent::Failed(failure)) => failed(&failure),
        Err(stream::Unsent::Refused(refused)) => {
            let error = refused.safe();
            answered(400, Bytes::from(json!(refused).to_string()), Some(error))
        }
    }
}

/// Sends a mail with nothing attached.
async fn mail(
    way: &Result<Way, String>,
    to: &Ready,
    secrets: &Secrets,
    request: &Request,
    limits: Limits,
) -> Result<Carried, String> {
    let way = way.as_ref().map_err(Clone::clone)?;
    let mail: Mail = serde_json::from_slice(&request.body).map_err(|error| format!("it is no mail: {error}"))?;
    let server = Server::parse(way.client.policy(), &request.url).map_err(|refusal| refusal.to_string())?;
    let login = login(to, secrets);
    Ok(match way.mailer.send(&server, login.as_ref(), &written_down(mail, Vec::new()), limits.deadline).await {
        Ok(said) => {
            let mut headers = HeaderMap::new();
            headers.insert(SMTP_COMMAND, HeaderValue::from_static(said.command));
            let error = (!(200..300).contains(&said.code)).then(|| format!("the mail server answered {}", said.code));
            Carried { reply: Some(Reply { status: said.code, headers, body: Bytes::from(said.text) }), error, timed_out: false }
        }
        Err(Unsent::Failed(failure)) => failed(&failure),
        Err(unsent) => Carried { reply: None, error: Some(unsent.to_string()), timed_out: false },
    })
}

/// The login of a mail server: what its connector calls `user` and `password`.
pub(super) fn login(to: &Ready, secrets: &Secrets) -> Option<Login> {
    let user = to.target().settings.get("user")?.to_string();
    Some(Login { user, password: Zeroizing::new(secrets.credentials.get("password")?.to_owned()) })
}

/// A mail as it is handed to its server.
pub(super) fn written_down(mail: Mail, attachments: Vec<Attachment>) -> outbound::mail::Mail {
    outbound::mail::Mail {
        message_id: mail.message_id,
        date: u64::try_from(mail.date).unwrap_or_default(),
        from: mail.from,
        to: mail.to,
        reply_to: mail.reply_to,
        subject: mail.subject,
        text: mail.text,
        html: Some(mail.html).filter(|html| !html.is_empty()),
        headers: mail.headers,
        attachments,
    }
}

/// Nothing came back.
pub(super) fn failed(failure: &Failure) -> Carried {
    let timed_out = matches!(failure, Failure::Timeout { .. });
    Carried { reply: None, error: Some(failure.to_string()), timed_out }
}

/// What came back, as the vendor's connector judges it.
pub(super) fn answered(status: u16, body: Bytes, error: Option<String>) -> Carried {
    Carried { reply: Some(Reply { status, headers: HeaderMap::new(), body }), error, timed_out: false }
}
