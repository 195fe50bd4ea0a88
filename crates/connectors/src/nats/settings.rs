//! What can be set for a stream of NATS JetStream.

use crate::kit::{Setting, Takes, stream, webhook};

const URL: Setting = Setting {
    name: "url",
    value: "`nats://host:4222`",
    takes: Takes::Own,
    default: "required",
    about: "The server, without user and password; of a cluster, a name that stands for all of its servers.",
};
pub(super) const SUBJECT: Setting = Setting {
    name: "subject",
    value: "a template",
    takes: Takes::Text(500),
    default: "`passbridge.{{ project }}.{{ event }}`",
    about: "Where a message is published. It knows `organization`, `project`, `event` (`pass.installed`: two words of a subject), `wallet`, `template`, \
            `variant`, `pass` and `contact`: ids, or `none`.",
};
pub(super) const STREAM: Setting = Setting {
    name: "stream",
    value: "a stream's name",
    takes: Takes::Text(255),
    default: "whichever takes the subject",
    about: "Messages that another stream would take are refused (`Nats-Expected-Stream`).",
};
pub(super) const PASSWORD: Setting = Setting {
    name: "password",
    value: "its password",
    takes: Takes::Secret(1_024),
    default: "none",
    about: "In the clear where `tls` is `off`.",
};
pub(super) const TOKEN: Setting = Setting {
    name: "token",
    value: "a token",
    takes: Takes::Secret(4_096),
    default: "none",
    about: "Instead of user and password, where the server asks for one.",
};
pub(super) const NKEY: Setting = Setting {
    name: "nkey",
    value: "`SU…`",
    takes: Takes::Secret(128),
    default: "none",
    about: "The seed of a user's NKey. What the server asks to be signed is signed with it; it is not sent.",
};
pub(super) const CREDENTIALS: Setting = Setting {
    name: "credentials",
    value: "a `.creds` file",
    takes: Takes::Secret(32 * 1_024),
    default: "none",
    about: "What `nsc` or Synadia Cloud give to a user: a JWT and its seed. `credentials=@user.creds` takes the file's content.",
};
pub(super) const TLS: Setting = Setting {
    name: "tls",
    value: "`verify`, `first` or `off`",
    takes: Takes::Choice(&["verify", "first", "off"]),
    default: "verify",
    about: "Whether the connection is encrypted and the server's certificate and name are checked; `first` for servers with `handshake_first`. `off` for a \
            network that you trust.",
};
pub(super) const INBOX: Setting = Setting {
    name: "inbox",
    value: "words with dots between them",
    takes: Takes::Text(200),
    default: "`_INBOX`",
    about: "What the subjects begin with that the stream answers to, where the account may not listen to others.",
};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::EGRESS,
    webhook::PACE_OF_STREAM,
    webhook::SWITCH_OFF,
    URL,
    SUBJECT,
    STREAM,
    stream::SHAPE,
    stream::USER,
    PASSWORD,
    TOKEN,
    NKEY,
    CREDENTIALS,
    TLS,
    stream::AUTHORITIES,
    INBOX,
];
