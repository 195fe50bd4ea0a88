use domain::{
    Action, Amount, BalanceChange, Cause, ContactRef, Entropy, FlowId, IfExists, OrgId, PassRef, Project, ProjectId, Source,
    SourceEvent, SourceEventId, SourceId, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::Problem;

struct Sevens;
impl Entropy for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

pub(crate) fn project() -> Project {
    serde_json::from_value(json!({
        "id": ProjectId::from_uuid(Uuid::from_u128(1)), "slug": "coffee-club", "name": "Coffee Club", "kind": "membership",
        "variants": [
            {"id": "basic", "name": "Basic", "template": ProjectId::from_uuid(Uuid::from_u128(5))},
            {"id": "gold", "name": "Gold member", "template": ProjectId::from_uuid(Uuid::from_u128(5))},
        ],
        "fields": [
            {"key": "nickname", "label": "Nickname"},
            {"key": "visits", "label": "Visits", "type": "number"},
            {"key": "vip", "label": "VIP", "type": "flag"},
            {"key": "since", "label": "Since", "type": "time"},
        ],
        "balances": {"points": "0", "credit": "0"},
        "created_at": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn source() -> Source {
    serde_json::from_value(json!({
        "id": SourceId::from_uuid(Uuid::from_u128(2)), "slug": "shop", "name": "Shop", "kind": "rudderstack", "key_prefix": "x", "enabled": true,
        "created_at": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn check(yaml: &str) -> Result<Plan, Vec<Problem>> {
    let flow = Flow::from_yaml(yaml).map_err(|problem| vec![problem])?;
    flow.check(FlowId::from_uuid(Uuid::from_u128(3)), &[project()], &[source()]).map_err(|problems| Flow::locate(yaml, problems))
}

fn plan(yaml: &str) -> Plan {
    check(yaml).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn occasion() -> Occasion<'static> {
    Occasion {
        org: OrgId::from_uuid(Uuid::from_u128(9)),
        source: source().id,
        event: SourceEventId::from_uuid(Uuid::from_u128(4)),
        received_at: Timestamp::from_seconds(1_800_000_000),
        occurred_at: Some("2026-11-20T09:30:00Z".parse().unwrap()),
        run: 0,
        part: 0,
        via: None,
        is_mirrored: false,
        entropy: &Sevens,
    }
}

fn run(yaml: &str, event: &Value) -> Run {
    let occasion = occasion();
    let plan = plan(yaml);
    let run = plan.run(event, &occasion);
    assert_eq!(run, plan.run(event, &occasion), "a run repeats");
    run
}

fn resolved(yaml: &str, event: &Value) -> Value {
    run(yaml, event).preview()["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step.get("resolved").unwrap_or(&step["problems"]).clone())
        .collect()
}

fn signup() -> Value {
    json!({
        "type": "track", "event": "membership_signed_up", "userId": "u1", "timestamp": "2026-11-20T09:30:00Z",
        "properties": {"tier": "GOLD", "nickname": "Ada", "visits": "3", "vip": true, "since": "2026-11-20", "total": 42.9, "other": [1]},
        "context": {
            "traits": {"email": " ADA@example.com", "firstName": "Ada", "lastName": "Lovelace"}, "ip": "192.0.2.1",
            "campaign": {"name": "spring", "source": "mail"}, "page": {"referrer": "https://example.com/"},
        },
    })
}

const ISSUE: &str = "
slug: sign-up
project: coffee-club
source: shop
when: { event: membership_signed_up, condition: 'userId != null' }
steps:
  - id: card
    action: issue
    variant: $.properties.tier
    fields: { '@path': $.properties }
    balances: { points: 50, credit: { set: $.properties.total, times: 0.1, round: down } }
    expires_in: 30d
";

#[test]
fn an_event_becomes_a_pass() {
    let run = run(ISSUE, &signup());
    let (step, command) = run.commands().next().unwrap();
    assert_eq!(step.id, "card");
    assert!(matches!(&command.cause, Cause::SourceEvent { step, .. } if step == "card"));
    let Action::Issue(issue) = &command.action else { panic!("{command:?}") };
    assert_eq!(issue.if_exists, IfExists::Update);
    assert_eq!((issue.external_id.as_deref(), issue.variant.as_ref().unwrap().as_str()), (Some("u1"), "gold"));
    assert_eq!(
        (issue.origin.utm["campaign"].as_str(), issue.origin.referrer.as_deref()),
        ("spring", Some("https://example.com/"))
    );
    assert_eq!(
        run.preview()["steps"][0]["resolved"],
        json!({
            "external_id": "u1",
            "contact": {"external_id": "u1", "name": "Ada Lovelace", "email": "ada@example.com"},
            "variant": "gold",
            "fields": {"nickname": "Ada", "visits": 3, "vip": true, "since": "2026-11-20T00:00:00Z"},
            "balances": {"points": "50", "credit": "4"},
            "expires_at": "2026-12-20T09:30:00Z",
            "if_exists": "update",
        })
    );
    assert!(!run.trace().to_string().contains("Ada"), "a trace keeps no personal value: {}", run.trace());
    let again = plan(ISSUE).run(
        &signup(),
        &Occasion {
            org: command.org,
            source: source().id,
            event: SourceEventId::from_uuid(Uuid::from_u128(4)),
            received_at: Timestamp::from_seconds(1_800_000_000),
            occurred_at: None,
            run: 1,
            part: 0,
            via: None,
            is_mirrored: false,
            entropy: &Sevens,
        },
    );
    let (_, other) = again.commands().next().unwrap();
    assert_ne!(
        (&other.id, other.key.as_ref().unwrap()),
        (&command.id, command.key.as_ref().unwrap()),
        "an explicit run does it once more"
    );
}

#[test]
fn events_that_do_not_fit_say_why() {
    let cases = [
        ("when: { event: other }", "the event name is not other", "the event has `membership_signed_up`"),
        ("when: { type: [page, screen] }", "type is not page or screen", "`track`"),
        (
            "when: { condition: 'properties.nickname = \"Eve\"' }",
            "properties.nickname is a string",
            "properties.nickname is \"Ada\"",
        ),
    ];
    for (when, reason, detail) in cases {
        let yaml = format!("slug: a\nproject: coffee-club\n{when}\nsteps: [{{ id: a, action: activate }}]\n");
        let why = run(&yaml, &signup()).not_matched.unwrap();
        assert!(why.reason.contains(reason) && !why.reason.contains("Ada"), "{why:?}");
        assert!(why.detail.contains(detail), "{why:?}");
    }
    for name in ["Membership Signed Up", "membershipSignedUp", "MEMBERSHIP-SIGNED-UP"] {
        let yaml = format!(
            "slug: a\nproject: coffee-club\nwhen: {{ event: [x, {name}], loose: true }}\nsteps: [{{ id: a, action: activate }}]\n"
        );
        assert!(run(&yaml, &signup()).matched(), "{name}");
        assert!(!run(&yaml.replace("loose: true", "loose: false"), &signup()).matched(), "{name}");
    }
    let plan = plan(ISSUE);
    assert!(plan.listens_to(source().id) && !plan.listens_to(SourceId::from_uuid(Uuid::nil())));
}

fn steps(steps: &str) -> String {
    format!("slug: a\nproject: coffee-club\nwhen: {{ type: track }}\nsteps:\n{steps}")
}

#[test]
fn every_action_finds_its_pass() {
    let yaml = steps(
        "
  - id: points
    action: update
    fields: { nickname: null, visits: { '@path': $.properties.visits } }
    balances:
      points: { add: $.properties.total, round: nearest }
      credit: { subtract: 1.5 }
    expires_at: null
    message: 'You now have {{ properties.total | number }} points'
  - { id: by-key, action: activate, find: { external_id: $.properties.nickname } }
  - { id: by-mail, action: delete, find: { contact: $.nope, email: $.context.traits.email } }
  - { id: by-id, action: revoke, find: { pass: '0000000000000000000001' }, reason: 'left by {{userId}}' }
  - { id: tell, action: notify, message: 'Hello {{ context.traits.firstName }}' }
",
    );
    assert_eq!(
        resolved(&yaml, &signup()),
        json!([
            {"find": {"contact": "u1"}, "fields": {"nickname": null, "visits": 3}, "balances": {"points": {"add": "43"}, "credit": {"add": "-1.5"}},
                "expires_at": null, "message": "You now have 42.9 points"},
            {"find": {"external_id": "Ada"}},
            {"find": {"email": "ada@example.com"}},
            {"find": {"pass": "0000000000000000000001"}, "reason": "left by u1"},
            {"find": {"contact": "u1"}, "message": "Hello Ada"},
        ])
    );
    let run = run(&yaml, &signup());
    let Action::Update { pass, change, .. } = &run.commands().next().unwrap().1.action else { panic!() };
    assert!(matches!(pass, PassRef::OfContact { contact: ContactRef::External(id), .. } if id == "u1"));
    assert_eq!(change.balances["points"], BalanceChange::Add("43".parse::<Amount>().unwrap()));
    assert_eq!(change.expires_at, Some(None), "null lifts it");
    assert!(change.contact.is_none() && change.new_contact.is_none(), "an update tells nothing of the person unless it says so");
}

#[test]
fn what_an_event_lacks_is_said() {
    let lacking =
        json!({"type": "track", "properties": {"tier": "platinum", "total": "a lot", "visits": "many", "nickname": {}}});
    let yaml = steps(
        "
  - { id: a, action: issue }
  - { id: b, action: activate }
",
    );
    let run = run(&yaml, &lacking);
    let problems: Vec<String> = run.problems().map(|(step, problem)| format!("{}: {problem}", step.id)).collect();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with(
            "a: steps[0].contact: step a needs contact.external_id or contact.email: nothing at userId, traits.email"
        ),
        "{problems:?}"
    );
    assert_eq!(run.steps[1].outcome, StepOutcome::NotReached);
    assert_eq!(run.commands().count(), 0);

    let yaml = steps(
        "
  - id: a
    action: issue
    on_error: continue
    contact: { external_id: u9 }
    variant: $.properties.tier
    fields: { visits: $.properties.visits, nickname: $.properties.nickname }
    balances: { points: $.properties.total, credit: $.properties.nope }
    external_id: $.properties.order
  - { id: b, action: activate, find: { contact: $.properties.who } }
",
    );
    let run = tests::run(&yaml, &lacking);
    let mut paths: Vec<&str> = run.problems().map(|(_, problem)| problem.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "steps[0].balances.credit",
        "steps[0].balances.points",
        "steps[0].external_id",
        "steps[0].fields.nickname",
        "steps[0].fields.visits",
        "steps[0].variant",
        "steps[1].find",
    ];
    assert_eq!(paths, expected);
    let trace = run.trace().to_string();
    assert!(["platinum", "a lot", "many"].iter().all(|value| !trace.contains(value)), "{trace}");
    let anonymous = steps("  - { id: a, action: issue, contact: null, external_id: null }\n");
    assert_eq!(tests::run(&anonymous, &lacking).commands().count(), 1);
}

#[test]
fn a_step_may_be_passed_over() {
    let yaml = steps(
        "
  - { id: a, action: activate, condition: 'properties.vip = false' }
  - { id: b, action: activate }
",
    );
    let trace = run(&yaml, &signup()).trace();
    assert_eq!(trace["steps"][0]["outcome"], "skipped");
    assert_eq!(trace["steps"][1]["outcome"], "command");
}

#[test]
fn mistakes_have_a_place_and_a_line() {
    let table = [
        ("slug: [", "", 1, ""),
        ("slug: a\nprojet: x\n", "projet", 2, "unknown field `projet`"),
        (
            "slug: a\nproject: x\nwhen: { event: x }\nsteps:\n  - id: a\n    action: isue\n",
            "steps[0].action",
            6,
            "unknown variant `isue`",
        ),
        ("slug: a\nproject: x\nwhen:\n  evnt: x\nsteps: []\n", "when.evnt", 4, "unknown field `evnt`"),
    ];
    for (yaml, path, line, part) in table {
        let problem = Flow::from_yaml(yaml).expect_err(yaml);
        assert!(problem.message.contains(part), "{problem}");
        assert_eq!((problem.path.as_str(), problem.line), (path, Some(line)), "{problem}");
    }
}

#[test]
fn a_flow_that_cannot_work_is_refused() {
    let yaml = "
slug: Bad Slug
project: tea-club
sources: [web]
when:
  type: trak
  condition: 'properties.total > \"x\"'
steps:
  - id: a b
    action: issue
    message: hello
    find: { email: x }
  - id: a b
    action: update
  - id: c
    action: notify
    message: 'Hi {{ name'
  - id: d
    action: revoke
    fields: { nickname: x }
    reason: { '@nope': 1 }
  - id: e
    action: issue
    expires_at: $.x
    expires_in: 3 days
    balances: { points: { add: 1, rond: up } }
";
    let problems = check(yaml).unwrap_err();
    let mut found: Vec<(String, Option<usize>)> = problems.iter().map(|problem| (problem.path.clone(), problem.line)).collect();
    found.sort();
    let mut expected: Vec<(String, Option<usize>)> = [
        ("slug", 2),
        ("project", 3),
        ("sources[0]", 4),
        ("when.type[0]", 6),
        ("when.condition", 7),
        ("steps[0].id", 9),
        ("steps[0].message", 11),
        ("steps[0].find", 12),
        ("steps[1].id", 13),
        ("steps[1].id", 13),
        ("steps[1]", 13),
        ("steps[2].message", 17),
        ("steps[3].fields", 20),
        ("steps[3].reason", 21),
        ("steps[4].expires_in", 25),
        ("steps[4].balances.points.rond", 26),
        ("steps[4].balances.points.add", 26),
    ]
    .map(|(path, line)| (path.to_owned(), Some(line)))
    .into();
    expected.sort();
    assert_eq!(found, expected, "{problems:#?}");

    let known = steps(
        "
  - id: a
    action: issue
    variant: platinum
    fields: { nickname: x, shoe: 5 }
    contact: { mail: x }
    balances: { stars: 1, points: { set: 1, times: many } }
",
    );
    let problems = check(&known).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let expected = [
        "steps[0].contact.mail",
        "steps[0].variant",
        "steps[0].fields.shoe",
        "steps[0].balances.points.times",
        "steps[0].balances.stars",
    ];
    assert_eq!(paths, expected, "{problems:#?}");
    assert!(problems[1].message.contains("basic, gold"), "{}", problems[1]);
    let nothing = "slug: a\nproject: coffee-club\nwhen: {}\nsteps: []\n";
    assert_eq!(check(nothing).unwrap_err().len(), 2);
}

#[test]
fn a_flow_is_the_same_in_yaml_and_json() {
    let flow = Flow::from_yaml(ISSUE).unwrap();
    let json = flow.to_json().unwrap();
    assert_eq!(Flow::from_json(&json).unwrap(), flow);
    let lifted = json!({"slug": "a", "project": "p", "when": {"event": "x"}, "steps": [{"id": "a", "action": "update", "expires_at": null, "on_error": "continue"}]});
    let read = Flow::from_json(&lifted).unwrap();
    assert_eq!(read.steps[0].expires_at, Some(Value::Null), "a null is not the same as nothing");
    assert_eq!(read.to_json().unwrap(), lifted);
}

proptest! {
    #[test]
    fn reading_yaml_never_panics(text in "([a-z]{1,5}: |- |\\[|\\]|\\{|\\}|\"|'|\\n|\\n  |slug|when|steps|id|action|&a|\\*a|!x |[0-9]|\\PC){0,30}") {
        let _ = Flow::from_yaml(&text).map(|flow| flow.check(FlowId::from_uuid(Uuid::nil()), &[project()], &[]));
    }

    #[test]
    fn a_label_hides_no_event_from_the_flow_that_it_is_for(
        call in prop_oneof![Just(json!("track")), Just(json!("page")), Just(json!(null)), Just(json!(7)), "\\PC{0,8}".prop_map(Value::from)],
        event in prop_oneof![Just(json!("Sign Up")), Just(json!("sign_up")), Just(json!(null)), Just(json!([])), "\\PC{0,8}".prop_map(Value::from)],
        name in prop_oneof![Just(json!("sign_up")), Just(json!({})), "\\PC{0,8}".prop_map(Value::from)],
        event_is_there in any::<bool>(),
    ) {
        let mut event = json!({"type": call, "event": event, "name": name, "userId": "u"});
        if !event_is_there {
            event.as_object_mut().unwrap().remove("event");
        }
        let text = event.to_string();
        for when in ["{ event: sign_up }", "{ type: page, event: sign_up }", "{ event: sign_up, loose: true }", "{ type: track }"] {
            let yaml = format!("slug: s\nproject: coffee-club\nwhen: {when}\nsteps:\n  - id: a\n    action: issue\n");
            let plan = plan(&yaml);
            let may_want = Label::of(&text).is_none_or(|label| plan.may_want(&label));
            prop_assert!(may_want || !plan.run(&event, &occasion()).matched(), "{when} {text}");
            let audience = Audience::of(&Flow::from_yaml(&yaml).unwrap());
            prop_assert_eq!(Label::of(&text).is_none_or(|label| audience.may_want(&label)), may_want);
            prop_assert_eq!(audience.may_take(&event), plan.run(&event, &occasion()).matched());
        }
    }

    #[test]
    fn a_name_hides_no_event_from_the_flow_that_it_is_for(
        event in prop_oneof![Just("Sign Up".to_owned()), "[ \t\u{0}]{0,2}sign_up[ \n]{0,2}", "\\PC{0,8}", "[a-cA-C \u{7}]{0,4}", "a{118,123}[ab]"],
        wanted in prop_oneof![Just("sign_up".to_owned()), "[a-c \u{7}]{1,4}", "a{118,123}[ab]"],
        same in any::<bool>(),
        loose in any::<bool>(),
        call in prop_oneof![Just("track"), Just("page"), Just("identify")],
    ) {
        let wanted = if same && !event.trim().is_empty() { event.clone() } else { wanted };
        let flow = json!({
            "slug": "s", "project": "coffee-club", "when": {"event": wanted, "loose": loose},
            "steps": [{"id": "a", "action": "issue"}],
        });
        let Ok(plan) = Flow::from_json(&flow).unwrap().check(FlowId::from_uuid(Uuid::from_u128(3)), &[project()], &[]) else {
            return Ok(());
        };
        let name = SourceEvent::name_of(call, (call == "track").then_some(event.as_str()));
        let matched = plan.run(&json!({"type": call, "event": event, "userId": "u"}), &occasion()).matched();
        prop_assert!(plan.may_want_called(&name) || !matched, "{name:?} {wanted:?}");
    }

    #[test]
    fn a_name_tells_that_a_flow_is_not_for_it(event in "[a-z]{1,8}") {
        let plan = plan("slug: s\nproject: coffee-club\nwhen: { event: sign_up, loose: true }\nsteps:\n  - id: a\n    action: issue\n");
        prop_assert_eq!(plan.may_want_called(&SourceEvent::name_of("track", Some(&event))), event == "signup");
        prop_assert!(plan.may_want_called("page signup"), "its event may be another than its name");
    }

    #[test]
    fn running_on_any_event_never_panics(
        user in prop_oneof![Just(json!(null)), Just(json!(5)), Just(json!([])), "\\PC{0,20}".prop_map(Value::from)],
        total in prop_oneof![any::<f64>().prop_map(|n| json!(n)), any::<i64>().prop_map(|n| json!(n)), "\\PC{0,8}".prop_map(Value::from)],
    ) {
        let event = json!({"type": "track", "event": "membership_signed_up", "userId": user, "properties": {"tier": user, "total": total, "visits": total, "since": total}});
        let _ = run(ISSUE, &event).preview();
    }
}

#[test]
fn a_constant_that_can_never_be_what_its_place_takes_is_refused() {
    let mut project = project();
    for key in ["nickname", "visits"] {
        project.fields.iter_mut().find(|field| field.key == key).unwrap().required = true;
    }
    let problems = |step: &str| -> Vec<String> {
        let flow = Flow::from_yaml(&steps(step)).unwrap();
        let id = FlowId::from_uuid(Uuid::from_u128(3));
        let problems = flow.check(id, &[project.clone()], &[source()]).err().unwrap_or_default();
        problems.iter().map(|problem| problem.path.strip_prefix("steps[0].").unwrap().to_owned()).collect()
    };
    let issue = |more: &str| problems(&format!("\n  - {{ id: a, action: issue, {more} }}\n"));
    let update = |more: &str| problems(&format!("\n  - {{ id: a, action: update, {more} }}\n"));
    let both = "fields: { nickname: $.a, visits: $.b";
    assert_eq!(issue(&format!("{both} }}")), [""; 0]);
    assert_eq!(issue("fields: { nickname: '', visits: ' ' }"), ["fields.nickname", "fields.visits"]);
    assert_eq!(issue("fields: { nickname: null, visits: $.b }"), ["fields.nickname"]);
    assert_eq!(update("fields: { nickname: ' ', visits: null }"), ["fields.nickname", "fields.visits"]);
    assert_eq!(issue(&format!("{both}, since: abc, vip: maybe }}")), ["fields.since", "fields.vip"]);
    assert_eq!(issue("fields: { nickname: [1], visits: x }"), ["fields.nickname", "fields.visits"]);
    assert_eq!(issue(&format!("{both}, since: '', vip: ' TRUE ' }}")), [""; 0], "nothing, and what can be read");
    let issue = |more: &str| issue(&format!("{both} }}, {more}"));
    assert_eq!(issue("starts_at: soon, uses_limit: -1, inactive: 7"), ["inactive", "starts_at", "uses_limit"]);
    assert_eq!(issue("expires_at: later"), ["expires_at"]);
    assert_eq!(issue("balances: { points: many, credit: { set: [] } }"), ["balances.credit.set", "balances.points"]);
    assert_eq!(issue("external_id: ' '"), ["external_id"]);
    assert_eq!(issue("contact: { external_id: 7, name: [x], traits: 5 }"), ["contact.name", "contact.traits"]);
    assert_eq!(issue("variant: 5"), ["variant"]);
    let one = |action: &str, more: &str| problems(&format!("\n  - {{ id: a, action: {action}, {more} }}\n"));
    assert_eq!(one("activate", "find: { pass: x }"), ["find.pass"]);
    assert_eq!(one("record_install", "wallet: samsung, at: then"), ["wallet", "at"]);
    assert_eq!(one("record_uninstall", "reason: bored"), ["reason"]);
    assert_eq!(one("revoke", "reason: bored"), [""; 0]);
    assert_eq!(one("notify", "message: ' '"), ["message"]);
    assert_eq!(one("wait", "until: never"), ["until"]);
}

#[test]
fn a_stored_flow_is_not_refused_for_its_constants() {
    for more in ["uses_limit: -1", "external_id: ' '", "external_id: $.50 off", "fields: { nickname: $.a, visits: x }"] {
        let step = format!("\n  - {{ id: a, action: issue, {more} }}\n");
        let flow = Flow::from_yaml(&steps(&step)).unwrap();
        let id = FlowId::from_uuid(Uuid::from_u128(3));
        assert!(flow.check(id, &[project()], &[source()]).is_err(), "{more}");
        let stored = flow.check_by(crate::mapping::Rules::Stored, id, &[project()], &[source()]);
        assert!(stored.is_ok(), "{more}: {:?}", stored.err());
    }
}
