//! `/v1/connectors`: what events can come from and go to, generated from the catalog.

use ::connectors::{
    catalog::{CONNECTORS, Descriptor, Maturity, Preset, Proof},
    kit::{Setting, Takes},
};
use axum::Json;
use domain::EventKind;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{page::Page, schema};
use crate::{
    App, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// Something that events come from, go to, or both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connector)]
struct View {
    /// Its name in configuration.
    slug: &'static str,
    /// Its name for people.
    label: &'static str,
    /// `ready`: tried with the vendor's own clients. `beta`: built to public documentation.
    maturity: MaturityName,
    /// What it is as a source; null when it is none.
    #[schema(required = true)]
    source: Option<SourceView>,
    /// What it is as the shape of a webhook; null when it is none.
    #[schema(required = true)]
    webhook: Option<WebhookView>,
    /// What it is as a destination; null when it is none.
    #[schema(required = true)]
    destination: Option<DestinationView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorMaturity)]
#[serde(rename_all = "snake_case")]
enum MaturityName {
    Ready,
    Beta,
}

/// How senders prove who they are. `key`: by the write key. `secret_or_key`: by signing with a secret, by write key as long as
/// the source has none. `sender_secret`: by signing with a secret that the sender shows. `our_secret`: by signing with a secret
/// that is typed in at the sender.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorProof)]
#[serde(rename_all = "snake_case")]
enum ProofName {
    Key,
    SecretOrKey,
    SenderSecret,
    OurSecret,
}

/// A connector as a source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorSource)]
struct SourceView {
    /// How senders prove who they are.
    proof: ProofName,
    /// Whether SDKs can send to it at `/{slug}/v1`.
    sdk: bool,
    /// What can be set.
    settings: Vec<SettingView>,
    /// Ready-made flows.
    presets: Vec<PresetView>,
}

/// A connector as the shape of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorWebhook)]
struct WebhookView {
    /// The events that it has a word for.
    #[schema(value_type = Vec<schema::EventType>)]
    events: Vec<EventKind>,
    /// What can be set.
    settings: Vec<SettingView>,
}

/// A connector as a destination.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorDestination)]
struct DestinationView {
    /// Whether it needs an address.
    takes_url: bool,
    /// Whether it holds a state of each contact, so that it can be compared and repaired.
    holds_state: bool,
    /// Whether what it holds is read then, so that what somebody changed there is found. Of others it is known what they were told
    /// last.
    state_is_read: bool,
    /// The events that it can be told of.
    #[schema(value_type = Vec<schema::EventType>)]
    events: Vec<EventKind>,
    /// What can be set.
    settings: Vec<SettingView>,
}

/// What kind of value a setting takes.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectorSettingType)]
enum SettingType {
    /// What the member of the source, webhook or destination itself takes.
    Member,
    /// `true` or `false`.
    Flag,
    /// One of `choices`.
    Choice,
    /// A whole number.
    Whole,
    /// The name of a header.
    Header,
    /// One line of text.
    Text,
    /// Text of as many lines as it likes: a template, code.
    Lines,
    /// A credential.
    Secret,
    /// Several credentials under names of your choice, each set as `NAME.…`.
    Secrets,
    /// A path into JSON: `customer.id`, `items[0].sku`.
    Path,
}

impl SettingType {
    const fn of(takes: Takes) -> Self {
        match takes {
            Takes::Own => Self::Member,
            Takes::Flag => Self::Flag,
            Takes::Choice(_) => Self::Choice,
            Takes::Whole(..) => Self::Whole,
            Takes::Header => Self::Header,
            Takes::Text(_) => Self::Text,
            Takes::Lines(_) => Self::Lines,
            Takes::Secret(_) => Self::Secret,
            Takes::Secrets(_) => Self::Secrets,
            Takes::Path => Self::Path,
        }
    }
}

/// Something that can be set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorSetting)]
struct SettingView {
    /// Its name.
    name: &'static str,
    /// Whether it is a member of `settings`; else it is a member of the source or webhook itself.
    in_settings: bool,
    /// What kind of value it takes, for programs.
    #[serde(rename = "type")]
    kind: SettingType,
    /// What kind of value it takes.
    value: &'static str,
    /// Whether it is a credential: kept sealed and not shown again.
    secret: bool,
    /// Whether it has to be given.
    required: bool,
    /// The values that there are; null when it is free.
    #[schema(required = true)]
    choices: Option<&'static [&'static str]>,
    /// The least and the most that a whole number may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<i64>,
    /// See `minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
    /// The most bytes that a text may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<usize>,
    /// What holds when it is left out.
    default: &'static str,
    /// What it does.
    about: &'static str,
}

/// A ready-made flow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorPreset)]
struct PresetView {
    /// Its name.
    slug: &'static str,
    /// What it does.
    about: &'static str,
    /// The flow in YAML: put your project in the place of `my-project`.
    flow: &'static str,
}

/// A connector with its set-up notes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectorDetail)]
struct Detail {
    #[serde(flatten)]
    connector: View,
    /// Set-up at the vendor, limits and retries, in Markdown.
    readme: &'static str,
}

impl From<&Setting> for SettingView {
    fn from(setting: &Setting) -> Self {
        let choices = match setting.takes {
            Takes::Choice(choices) => Some(choices),
            _ => None,
        };
        let (minimum, maximum) = match setting.takes {
            Takes::Whole(least, most) => (Some(least), Some(most)),
            _ => (None, None),
        };
        let max_bytes = match setting.takes {
            Takes::Text(most) | Takes::Lines(most) | Takes::Secret(most) | Takes::Secrets(most) => Some(most),
            _ => None,
        };
        let Setting { name, value, default, about, takes } = *setting;
        Self {
            name,
            in_settings: takes != Takes::Own,
            kind: SettingType::of(takes),
            value,
            secret: takes.is_secret(),
            required: default == "required",
            choices,
            minimum,
            maximum,
            max_bytes,
            default,
            about,
        }
    }
}

impl From<&Descriptor> for View {
    fn from(connector: &Descriptor) -> Self {
        let preset = |preset: &Preset| PresetView { slug: preset.slug, about: preset.about, flow: preset.flow };
        let source = connector.source.map(|source| SourceView {
            proof: match source.proof {
                Proof::Key => ProofName::Key,
                Proof::SecretOrKey => ProofName::SecretOrKey,
                Proof::SenderSecret => ProofName::SenderSecret,
                Proof::OurSecret => ProofName::OurSecret,
            },
            sdk: source.api,
            settings: connector.source_settings.iter().map(SettingView::from).collect(),
            presets: connector.presets.iter().map(preset).collect(),
        });
        let settings = || connector.settings.iter().map(SettingView::from).collect();
        let vendor = connector.destination.and_then(|destination| destination.vendor);
        let events = || {
            let wants = connector.destination.map(|destination| destination.wants);
            EventKind::all().filter(|kind| wants.is_some_and(|wants| wants(*kind))).collect()
        };
        let webhook =
            connector.destination.filter(|_| vendor.is_none()).map(|_| WebhookView { events: events(), settings: settings() });
        let destination = vendor.map(|vendor| DestinationView {
            takes_url: vendor.takes_url,
            holds_state: vendor.state.is_some(),
            state_is_read: vendor.holds.is_some(),
            events: events(),
            settings: settings(),
        });
        let maturity = match connector.maturity {
            Maturity::Ready => MaturityName::Ready,
            Maturity::Beta => MaturityName::Beta,
        };
        Self { slug: connector.slug, label: connector.label, maturity, source, webhook, destination }
    }
}

/// List connectors.
///
/// What sources and webhooks can be, all on one page.
#[utoipa::path(get, path = "/v1/connectors", tag = "Connectors", security(("key" = ["config_read"])),
    responses((status = 200, body = Page<View>, description = "All of them, by slug.")))]
async fn list(_: Can<scope::ConfigRead>) -> Json<Page<View>> {
    Json(Page { data: CONNECTORS.iter().map(View::from).collect(), next_cursor: None })
}

/// Read a connector.
#[utoipa::path(get, path = "/v1/connectors/{connector}", tag = "Connectors", security(("key" = ["config_read"])),
    params(("connector" = String, Path, description = "Its slug.", example = "stripe")),
    responses((status = 200, body = Detail, description = "It, with its set-up notes.")))]
async fn get(_: Can<scope::ConfigRead>, PathParam(slug): PathParam<String>) -> Result<Json<Detail>, Problem> {
    let connector = ::connectors::catalog::find(&slug).ok_or_else(|| Problem::no_such("connector"))?;
    Ok(Json(Detail { connector: View::from(connector), readme: connector.readme }))
}

#[cfg(test)]
mod tests {
    use super::*;

    use ::flows::flow::Flow;
    use domain::{FlowId, Project, ProjectId};
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn every_source_has_presets_and_all_of_them_may_run_in_a_project_with_points() {
        let project: Project = serde_json::from_value(json!({
            "id": ProjectId::from_uuid(Uuid::from_u128(1)), "slug": "my-project", "name": "Club", "kind": "membership",
            "variants": [{"id": "base", "name": "Base", "template": ProjectId::from_uuid(Uuid::from_u128(2))}],
            "fields": [{"key": "member_since", "label": "Member since", "type": "time"}],
            "balances": {"points": "0"}, "created_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap_or_else(|error| panic!("{error}"));
        for connector in CONNECTORS {
            let name = connector.slug;
            assert_eq!(connector.source.is_some(), !connector.presets.is_empty(), "{name}");
            for preset in connector.presets {
                let flow = Flow::from_yaml(preset.flow).unwrap_or_else(|problem| panic!("{name}, {}: {problem}", preset.slug));
                assert_eq!(flow.project, "my-project", "{name}, {}", preset.slug);
                let checked = flow.check(FlowId::from_uuid(Uuid::nil()), std::slice::from_ref(&project), &[]);
                checked.unwrap_or_else(|problems| panic!("{name}, {}: {problems:?}", preset.slug));
            }
        }
    }
}
