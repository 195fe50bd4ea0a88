//! What stands between an event and its commands, alone on one core: field mappings and code of the user's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use flows::mapping::Mapping;
use script::{Entry, Host, Input, Limits, Program, Transformed};
use serde_json::{Map, Value, json};

use crate::Size;
use crate::cpu::rate;
use crate::load;
use crate::peers;
use crate::stats::{Line, median};

/// Events of a batch that code runs over, as rudder-transformer's were when it was measured.
const BATCH: usize = 200;
/// Bytes of an event that code runs over.
const EVENT_BYTES: usize = 2_048;

/// A transformation as people write them: leaves some events out, sets and renames properties, reads traits, tells of itself.
const CODE: &str = r#"
export function transformEvent(event, metadata) {
  const meta = metadata(event);
  if (event.type !== "track" || !event.properties) return;
  const { items = [], ...rest } = event.properties;
  event.properties = {
    ...rest,
    points: Math.floor(items.reduce((sum, item) => sum + item.price * item.quantity, 0)),
    skus: items.map((item) => item.sku.toUpperCase()).join(","),
    tier: (rest.tier || "basic").replace(/^./, (letter) => letter.toUpperCase()),
    source: meta.sourceName,
  };
  const email = event.context?.traits?.email;
  if (email) event.context.traits.email = email.trim().toLowerCase();
  delete event.context.userAgent;
  return event;
}
"#;

pub(crate) fn run(size: Size, folder: &Path, peers: Option<&Path>) -> Result<Vec<Line>> {
    let event: Value = serde_json::from_str(&load::event("purchase_completed", 7))?;
    let mapping = mapping();
    let fields = mapping.as_object().map_or(0, Map::len) as f64;
    let compiled = Mapping::compile(&mapping).map_err(|problems| anyhow!("the mapping: {problems:?}"))?;
    let resolve = || compiled.resolve(&event).map_err(|problem| anyhow!("the mapping: {problem:?}"));
    let wanted = resolve()?;
    ensure!(wanted.as_ref().and_then(Value::as_object).map(Map::len) == Some(fields as usize), "not every field: {wanted:?}");
    let same = |made: &Option<Value>| {
        ensure!(*made == wanted, "a mapping answers twice differently");
        Ok(())
    };
    let (mut mapped, mut batched, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        mapped.push(rate(size.cpu_seconds, resolve, same)? * fields);
        batched.push(code_rate(size, BATCH)?);
        single.push(code_rate(size, 1)?);
    }
    let mut lines = vec![Line::new("fields mapped", median(&mapped), "/CPU-s").at_least(500_000.0)];
    if let Some(peers) = peers {
        fs::write(folder.join("mapping.json"), json!({"mapping": mapping, "event": event, "made": wanted}).to_string())?;
        let seconds = size.cpu_seconds.to_string();
        let peer = peers::rate(peers, "mapping-kit.mjs", &[folder.as_os_str(), OsStr::new(&seconds)])? * fields;
        lines.push(Line::new("… @segment/actions-core 3.170.0 (npm)", peer, "/CPU-s"));
        lines.push(Line::new("… Passbridge to it", median(&mapped) / peer, "times"));
    }
    let what = format!("transformEvent, {EVENT_BYTES} bytes, limits on");
    lines.push(Line::new(format!("{what}, {BATCH} to a context"), median(&batched), "/CPU-s").at_least(20_000.0));
    lines.push(Line::new(format!("{what}, a context for each"), median(&single), "/CPU-s"));
    Ok(lines)
}

/// Ten fields, by path, default, template, condition and from a list.
fn mapping() -> Value {
    json!({
        "member": {"@path": "$.userId"},
        "email": {"@path": "$.context.traits.email"},
        "name": {"@template": "{{context.traits.name}}"},
        "tier": {"@path": "$.properties.tier"},
        "total": {"@path": "$.properties.total"},
        "currency": {"@if": {"exists": {"@path": "$.properties.currency"}, "then": {"@path": "$.properties.currency"}, "else": "EUR"}},
        "order": {"@template": "order {{properties.order_id}} at {{properties.store}}"},
        "items": {"@arrayPath": ["$.properties.items", {"sku": {"@path": "$.sku"}, "price": {"@path": "$.price"}}]},
        "campaign": {"@path": "$.context.campaign.name"},
        "at": {"@path": "$.originalTimestamp"},
    })
}

/// The machine's clock; nothing outside is reached.
struct Clock(Instant);

impl Host for Clock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Events through [`CODE`] in a processor second, so many to a context.
fn code_rate(size: Size, batch: usize) -> Result<f64> {
    let limits = Limits::default();
    let host = || -> Arc<dyn Host> { Arc::new(Clock(Instant::now())) };
    let program = Program::check(CODE, Arc::new(BTreeMap::new()), host(), &limits).map_err(|fault| anyhow!("{fault:?}"))?;
    ensure!(program.entry() == Entry::Event, "not transformEvent");
    let events: Vec<Value> = (0..batch as u64).map(event).collect::<Result<_>>()?;
    let inputs: Vec<Input<'_>> = events
        .iter()
        .map(|event| {
            let id = event["messageId"].clone();
            Input { event, metadata: Map::from_iter([("messageId".to_owned(), id), ("sourceName".to_owned(), json!("Shop"))]) }
        })
        .collect();
    let every = |outcome: &script::Outcome| {
        let good = |made: &Transformed| matches!(made, Transformed::Kept(kept) if kept.len() == 1 && kept[0]["properties"]["points"] == 12);
        ensure!(outcome.events.len() == batch && outcome.events.iter().all(good), "not every event went through: {outcome:?}");
        Ok(())
    };
    Ok(rate(size.cpu_seconds, || Ok(program.run(&inputs, host(), &limits)), every)? * batch as f64)
}

/// An event of [`EVENT_BYTES`].
fn event(number: u64) -> Result<Value> {
    let text = load::event("purchase_completed", number);
    let mut event: Value = serde_json::from_str(&text)?;
    let comment = r#","comment":"""#.len();
    let padding = EVENT_BYTES.saturating_sub(text.len() + comment);
    event["properties"]["comment"] = "Beans as always. ".chars().cycle().take(padding).collect::<String>().into();
    Ok(event)
}
