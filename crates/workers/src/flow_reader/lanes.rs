//! Carrying out a batch: one lane per order key, the first events of all lanes in one wave.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use domain::Command;
use engine::EngineError;
use store::Touch;

use super::job::Job;
use crate::shard::{End, Shard};

/// Pause before commands are tried again while the store is away.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Carries jobs out; those of one key one after another. Answers with all of them.
pub(crate) async fn carry_out(shard: &Shard, jobs: Vec<Job>) -> Result<Vec<Job>, End> {
    let mut lanes: HashMap<super::Key, VecDeque<Job>> = HashMap::new();
    let mut done = Vec::with_capacity(jobs.len());
    for job in jobs {
        lanes.entry(job.key).or_default().push_back(job);
    }
    let mut lanes: Vec<VecDeque<Job>> = lanes.into_values().collect();
    while !lanes.is_empty() {
        look_up(shard, &mut lanes).await?;
        wave(shard, &mut lanes).await?;
        for lane in &mut lanes {
            while lane.front().is_some_and(Job::is_over) {
                let first = lane.pop_front();
                // A fault of ours holds the whole lane, so that order is kept.
                if first.as_ref().is_some_and(Job::is_held) {
                    lane.iter_mut().for_each(Job::hold_behind);
                }
                done.extend(first);
            }
        }
        lanes.retain(|lane| !lane.is_empty());
    }
    Ok(done)
}

/// Looks up until when the next steps of every lane's first job wait, where a pass or its holder tells.
async fn look_up(shard: &Shard, lanes: &mut [VecDeque<Job>]) -> Result<(), End> {
    let store = &shard.house.store;
    for job in lanes.iter_mut().filter_map(VecDeque::front_mut) {
        // What follows a wait that is over may be the next one.
        loop {
            let asked = job.look_ups();
            if asked.is_empty() {
                break;
            }
            let passes = asked.iter().map(|(_, pass, _)| pass.clone()).collect();
            let touches = [(job.org, Touch { passes, ..Touch::default() })];
            let states = shard.insist("look passes up", || store.load(&touches, shard.house.now())).await?;
            for (index, reference, place) in asked {
                let pass = states.find_pass(job.org, &reference).and_then(|id| states.passes.get(&(job.org, id)));
                let until = pass.map_or_else(
                    || Err("there is no such pass".to_owned()),
                    |pass| {
                        let contact = pass.value.contact.and_then(|id| states.contacts.get(&(job.org, id)));
                        place.read(&pass.value, contact.map(|held| &held.value))
                    },
                );
                job.looked_up(index, until);
            }
        }
    }
    Ok(())
}

/// Gives the next commands of every lane's first job to the engine.
async fn wave(shard: &Shard, lanes: &mut [VecDeque<Job>]) -> Result<(), End> {
    let mut commands: Vec<Command> = Vec::new();
    let mut asked: Vec<(usize, usize)> = Vec::new();
    for (index, lane) in lanes.iter().enumerate() {
        let Some(job) = lane.front() else { continue };
        let before = commands.len();
        job.next_commands(&mut commands);
        asked.push((index, commands.len() - before));
    }
    if commands.is_empty() {
        return Ok(());
    }
    loop {
        let verdicts = shard.house.engine.submit_all(commands.clone()).await;
        let away = verdicts.iter().any(|verdict| matches!(verdict, Err(EngineError::Unavailable(error)) if error.is_transient()));
        if away {
            // What went through is answered again from its stored result.
            tracing::warn!(shard = shard.number(), "the store is away; the batch is tried again");
            shard.pause(AGAIN_AFTER).await?;
            continue;
        }
        let mut verdicts = verdicts.into_iter();
        for (index, count) in asked {
            let Some(job) = lanes.get_mut(index).and_then(VecDeque::front_mut) else { continue };
            job.answers(verdicts.by_ref().take(count));
        }
        return Ok(());
    }
}
