//! Kafka, and what speaks like it: records go to the leaders of their partitions, and all replicas in sync have them before a
//! broker says so (`acks=all`).
//!
//! Sources: <https://kafka.apache.org/protocol> for the requests (`Metadata` 5, `Produce` 7, `SaslHandshake` 1 and
//! `SaslAuthenticate` 0, which brokers from 2.1 to 4.x take) and codes of errors.
//!
//! Brokers are found as the one that was configured names them. Each address that it names is judged before it is dialled, like the
//! configured one. A record has no compression and no producer's id: a repetition is recognised by the event's id in its headers.

mod codec;
mod records;
mod scram;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::{
    Answer, Batch, Message, Reason, Refused, Security, Unsent, settled,
    wire::{self, Duplex},
};
use crate::{
    http::{Client, Failure, Phase, Progress},
    policy::{AddressPolicy, Refusal, Target},
};
use codec::{Malformed, Reader, Writer};

/// Where Kafka listens.
const PORT: u16 = 9092;
/// Bytes of one answer.
const MAX_ANSWER: usize = 4 << 20;
/// Longest name of a topic, in bytes.
const MAX_TOPIC: usize = 249;
/// How long a broker may wait for its replicas, in milliseconds.
const REPLICAS_WITHIN: i32 = 10_000;
/// Random bytes of a nonce.
const NONCE_BYTES: usize = 18;
const WHO: &str = "passbridge";
/// Requests by their number and version.
const PRODUCE: (i16, i16) = (0, 7);
const METADATA: (i16, i16) = (3, 5);
const SASL_HANDSHAKE: (i16, i16) = (17, 1);
const SASL_AUTHENTICATE: (i16, i16) = (36, 0);

/// A cluster with a user's account.
#[derive(Clone)]
pub struct Place {
    /// `kafka://host:port`: a broker that names the others.
    pub url: String,
    /// How one signs in.
    pub login: Option<Login>,
    /// How connections are protected.
    pub security: Security,
    /// Certificates of the authorities that the brokers' are checked against, PEM, instead of those that are trusted everywhere.
    pub authorities: Option<String>,
}

/// How one signs in.
#[derive(Clone)]
pub struct Login {
    /// By which mechanism of SASL.
    pub mechanism: Mechanism,
    /// Who.
    pub user: String,
    /// The proof.
    pub password: Zeroizing<String>,
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// `PLAIN`
    Plain,
    /// `SCRAM-SHA-256`
    ScramSha256,
    /// `SCRAM-SHA-512`
    ScramSha512,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("url", &self.url).field("security", &self.security).finish_non_exhaustive()
    }
}

/// Judges the address of a broker, when it is configured and when it is dialled.
///
/// # Errors
/// The [`Refusal`] says which rule it breaks and what to change.
pub fn check(policy: &AddressPolicy, url: &str) -> Result<Target, Refusal> {
    policy.check_server(url, "kafka", PORT)
}

/// Produces messages, those of a key in their order, and waits for the brokers' answers: one for each.
///
/// # Errors
/// When there was no talking to the cluster within `deadline`, or it lets nobody in who shows these credentials.
pub async fn publish(client: &Client, place: &Place, batch: &Batch, deadline: Duration) -> Result<Vec<Answer>, Unsent> {
    let progress = Progress::default();
    let mut answers = vec![None; batch.messages.len()];
    let mut exchange = Exchange { client, place, progress: &progress, messages: &batch.messages, answers: &mut answers };
    let ended = match tokio::time::timeout(deadline, exchange.run()).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Timeout { phase: progress.phase(), after: deadline, status: None }.into()),
    };
    settled(answers, ended)
}

/// Records of one partition, by the numbers of their messages.
type Share<'m> = (&'m str, i32, Vec<usize>);

/// A batch on its way.
struct Exchange<'e> {
    client: &'e Client,
    place: &'e Place,
    progress: &'e Progress,
    messages: &'e [Message],
    answers: &'e mut Vec<Option<Answer>>,
}

impl<'e> Exchange<'e> {
    async fn run(&mut self) -> Result<(), Unsent> {
        let cluster = {
            let mut broker = Connection::open(self.client, self.place, &self.place.url, self.progress).await?;
            let topics: BTreeSet<&str> = self.messages.iter().map(|message| message.subject.as_str()).collect();
            broker.cluster(topics.into_iter().filter(|topic| is_topic(topic))).await?
        };
        let shares = self.shares(&cluster);
        for (leader, shares) in shares {
            let of_leader: Vec<usize> = shares.iter().flat_map(|(_, _, numbers)| numbers.iter().copied()).collect();
            let url = cluster.brokers.get(&leader).map(String::as_str).unwrap_or_default();
            if let Err(why) = self.produce(url, shares).await {
                // Other leaders may be well.
                let why = match why {
                    Unsent::Failed(failure) => failure.to_string(),
                    Unsent::Refused(refused) => refused.safe(),
                };
                let refused = Refused::new(Reason::Unfit, format!("{}: {why}", url.trim_start_matches("kafka://")));
                for number in of_leader {
                    self.answers[number].get_or_insert_with(|| Answer::Refused(refused.clone()));
                }
            }
        }
        Ok(())
    }

    /// The messages by the leaders of their partitions; those that have none are answered.
    fn shares(&mut self, cluster: &Cluster) -> BTreeMap<i32, VecDeque<Share<'e>>> {
        let mut shares: BTreeMap<(i32, &str, i32), Vec<usize>> = BTreeMap::new();
        let messages = self.messages;
        for (number, message) in messages.iter().enumerate() {
            let topic = message.subject.as_str();
            let found = match cluster.topics.get(topic) {
                _ if !is_topic(topic) => Err(Refused::new(Reason::BadSubject, format!("`{topic}` is no name of a topic"))),
                Some((0, partitions)) => {
                    let at = records::partition(message.key.as_deref().unwrap_or_default(), partitions.len());
                    let led = partitions.get(at).filter(|(_, leader)| cluster.brokers.contains_key(leader));
                    led.ok_or_else(|| Refused::new(Reason::Declined, "its partition has no leader at the moment"))
                }
                Some((code, _)) => Err(refused(*code)),
                None => Err(Refused::new(Reason::NoStream, "the cluster says nothing of the topic")),
            };
            match found {
                Ok((partition, leader)) => shares.entry((*leader, topic, *partition)).or_default().push(number),
                Err(refused) => self.answers[number] = Some(Answer::Refused(refused)),
            }
        }
        let mut by_leader: BTreeMap<i32, VecDeque<Share<'e>>> = BTreeMap::new();
        for ((leader, topic, partition), numbers) in shares {
            by_leader.entry(leader).or_default().push_back((topic, partition, numbers));
        }
        by_leader
    }

    /// Sends the records of one leader's partitions. A batch that is too large is sent in halves, down to one record.
    async fn produce(&mut self, url: &str, mut shares: VecDeque<Share<'e>>) -> Result<(), Unsent> {
        let mut broker = Connection::open(self.client, self.place, url, self.progress).await?;
        while let Some((topic, partition, mut numbers)) = shares.pop_front() {
            let records: Vec<&Message> = numbers.iter().map(|number| &self.messages[*number]).collect();
            let (code, offset) = broker.produce(topic, partition, &records::batch(&records)).await?;
            let reason = (code != 0).then(|| refused(code));
            if reason.as_ref().is_some_and(|refused| refused.code == Reason::TooLarge) && numbers.len() > 1 {
                let rest = numbers.split_off(numbers.len() / 2);
                shares.push_front((topic, partition, rest));
                shares.push_front((topic, partition, numbers));
                continue;
            }
            for (at, number) in numbers.into_iter().enumerate() {
                self.answers[number] = Some(match &reason {
                    Some(refused) => Answer::Refused(refused.clone()),
                    None => {
                        let number = u64::try_from(offset).unwrap_or_default() + at as u64;
                        Answer::Kept { stream: format!("{topic}/{partition}"), number, duplicate: false }
                    }
                });
            }
        }
        Ok(())
    }
}

/// What a broker says of its cluster.
struct Cluster {
    /// Addresses by the brokers' numbers.
    brokers: HashMap<i32, String>,
    /// By name: what is wrong with a topic, and its partitions with their leaders.
    topics: HashMap<String, (i16, Vec<(i32, i32)>)>,
}

/// A connection to a broker.
struct Connection {
    stream: Box<dyn Duplex>,
    correlation: i32,
}

impl Connection {
    async fn open(client: &Client, place: &Place, url: &str, progress: &Progress) -> Result<Self, Unsent> {
        let target = check(client.policy(), url).map_err(Failure::Forbidden)?;
        let encrypted = place.security != Security::Plain;
        let tcp = wire::dial(client, &target, encrypted, progress).await?;
        let stream: Box<dyn Duplex> = if encrypted {
            Box::new(wire::encrypt(client, &target, place.authorities.as_deref(), tcp, progress).await?)
        } else {
            Box::new(tcp)
        };
        progress.enter(Phase::Answer);
        let mut connection = Self { stream, correlation: 0 };
        if let Some(login) = &place.login {
            connection.sign_in(login).await?;
        }
        Ok(connection)
    }

    /// Sends a request and waits for its answer.
    async fn call(&mut self, (api, version): (i16, i16), body: &[u8]) -> Result<Bytes, Unsent> {
        self.correlation = self.correlation.wrapping_add(1);
        let mut head = Writer::default();
        head.i16(api).i16(version).i32(self.correlation).text(WHO).raw(body);
        let request = Writer::default().bytes(&head.done()).done();
        self.stream.write_all(&request).await.map_err(wire::broken)?;
        self.stream.flush().await.map_err(wire::broken)?;
        let length = self.stream.read_i32().await.map_err(wire::broken)?;
        let length = usize::try_from(length).ok().filter(|length| (4..=MAX_ANSWER).contains(length)).ok_or_else(odd)?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await.map_err(wire::broken)?;
        let answer = Bytes::from(answer);
        if Reader::new(&answer).i32() != Ok(self.correlation) {
            return Err(odd());
        }
        Ok(answer.slice(4..))
    }

    async fn sign_in(&mut self, login: &Login) -> Result<(), Unsent> {
        let not_allowed = |why: String| Unsent::from(Refused::new(Reason::NotAllowed, why));
        let name = login.mechanism.name();
        let answer = self.call(SASL_HANDSHAKE, &Writer::default().text(name).done()).await?;
        let read = |answer: &[u8]| {
            let mut reader = Reader::new(answer);
            Ok::<_, Malformed>((reader.i16()?, reader.list(Reader::text)?.join(", ")))
        };
        let (code, known) = read(&answer).map_err(|_| odd())?;
        if code != 0 {
            return Err(not_allowed(format!("it does not know {name}, but {known}")));
        }
        if login.mechanism == Mechanism::Plain {
            let shown = Zeroizing::new(format!("\0{}\0{}", login.user, login.password.as_str()));
            return self.authenticate(&shown).await.map(drop);
        }
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| not_allowed("this system has no randomness".to_owned()))?;
        let mut scram = scram::Scram::new(login.mechanism, &login.user, &login.password, STANDARD.encode(nonce));
        let challenge = self.authenticate(&scram.first()).await?;
        let answer = scram.answer(&challenge).map_err(|why| not_allowed(why.to_owned()))?;
        let last = self.authenticate(&answer).await?;
        if scram.is_proven(&last) { Ok(()) } else { Err(not_allowed("it does not know the password itself".to_owned())) }
    }

    /// One step of signing in, and what the broker says to it.
    async fn authenticate(&mut self, said: &str) -> Result<String, Unsent> {
        let answer = self.call(SASL_AUTHENTICATE, &Writer::default().bytes(said.as_bytes()).done()).await?;
        let read = |answer: &[u8]| {
            let mut reader = Reader::new(answer);
            let (code, why) = (reader.i16()?, reader.text()?.to_owned());
            Ok::<_, Malformed>((code, why, String::from_utf8_lossy(reader.bytes()?).into_owned()))
        };
        match read(&answer).map_err(|_| odd())? {
            (0, _, said) => Ok(said),
            (_, why, _) if why.is_empty() => Err(Refused::new(Reason::NotAllowed, "user and password are not taken").into()),
            (_, why, _) => Err(Refused::new(Reason::NotAllowed, why).into()),
        }
    }

    /// Who leads which partition. Topics are made by nobody but their owner.
    async fn cluster<'t>(&mut self, topics: impl Iterator<Item = &'t str>) -> Result<Cluster, Unsent> {
        let topics: Vec<&str> = topics.collect();
        let mut body = Writer::default();
        body.length(topics.len());
        for topic in &topics {
            body.text(topic);
        }
        body.i8(0);
        let answer = self.call(METADATA, &body.done()).await?;
        Cluster::read(&answer).map_err(|_| odd())
    }

    /// Sends a batch of records; the code of what is wrong, and the first record's offset.
    async fn produce(&mut self, topic: &str, partition: i32, records: &[u8]) -> Result<(i16, i64), Unsent> {
        let mut body = Writer::default();
        // No transaction, all replicas in sync, one topic, one partition.
        body.i16(-1).i16(-1).i32(REPLICAS_WITHIN).i32(1).text(topic).i32(1).i32(partition).bytes(records);
        let answer = self.call(PRODUCE, &body.done()).await?;
        let one = |reader: &mut Reader<'_>| {
            let (_, code, offset) = (reader.i32()?, reader.i16()?, reader.i64()?);
            let _ = (reader.i64()?, reader.i64()?);
            Ok((code, offset))
        };
        let read = Reader::new(&answer).list(|reader| {
            reader.text()?;
            reader.list(one)
        });
        read.ok().and_then(|topics| topics.into_iter().flatten().next()).ok_or_else(odd)
    }
}

impl Cluster {
    fn read(answer: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(answer);
        reader.i32()?;
        let brokers = reader.list(|reader| {
            let (number, host, port) = (reader.i32()?, reader.text()?.to_owned(), reader.i32()?);
            reader.text()?;
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Ok((number, format!("kafka://{host}:{port}")))
        })?;
        reader.text()?;
        reader.i32()?;
        let topics = reader.list(|reader| {
            let (code, name) = (reader.i16()?, reader.text()?.to_owned());
            reader.i8()?;
            let mut partitions = reader.list(|reader| {
                let (_, number, leader) = (reader.i16()?, reader.i32()?, reader.i32()?);
                for _ in 0..3 {
                    reader.list(Reader::i32)?;
                }
                Ok((number, leader))
            })?;
            partitions.sort_unstable();
            Ok((name, (code, partitions)))
        })?;
        Ok(Self { brokers: brokers.into_iter().collect(), topics: topics.into_iter().collect() })
    }
}

fn odd() -> Unsent {
    wire::protocol("what came is no answer of a Kafka broker")
}

/// What a code of Kafka's means. Source: <https://kafka.apache.org/protocol#protocol_error_codes>.
fn refused(code: i16) -> Refused {
    let (reason, words) = match code {
        3 => (Reason::NoStream, "there is no such topic"),
        17 => (Reason::BadSubject, "no topic can have this name"),
        10 | 18 => (Reason::TooLarge, "it is larger than `max.message.bytes` of the topic"),
        29 => (Reason::NotAllowed, "the account may not write to this topic"),
        31 => (Reason::NotAllowed, "the account may not use the cluster"),
        5 | 6 | 13 | 14 => (Reason::Declined, "the partition's leader is being changed"),
        7 => (Reason::Declined, "its replicas took too long"),
        19 | 20 => (Reason::Declined, "too few of its replicas are in sync"),
        44 => (Reason::Declined, "a policy of the cluster refuses it"),
        56 => (Reason::Declined, "its disk failed"),
        87 => (Reason::Declined, "the topic takes no such record"),
        _ => (Reason::Declined, "it has a reason of its own"),
    };
    Refused::new(reason, format!("{words} (code {code})"))
}

/// Whether a topic can have this name.
fn is_topic(text: &str) -> bool {
    let fits = (1..=MAX_TOPIC).contains(&text.len()) && text != "." && text != "..";
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
