//! Refusals: whether they could have been avoided, and whether the time they told was true.

use libra_simulator::UnixMillis;

use super::books::{Account, Opening};
use super::{Case, Verdict, is_answered, is_cut};
use crate::record::Request;
use crate::scenario::millis;

/// A room is only a chance if it is there so long after a request's arrival and before the end of its patience, in
/// milliseconds: it has to be seen and reached.
const TO_REACH: UnixMillis = 1_000;

/// So many good heads without an answer behind them are enough: each further try is billed.
const EMPTY_ANSWERS: u32 = 4;

/// A `Retry-After` is true within so many milliseconds: it is told in whole seconds.
const TRUE_WITHIN: u64 = 1_000;

impl Case<'_> {
    pub(super) fn judge_refusals(&self, verdict: &mut Verdict) {
        let mut accounts = self.accounts.clone();
        let names = self.scenario.models();
        let mut empty = vec![0; self.record.requests.len()];
        for call in self.record.calls.iter().filter(|call| call.status == 200) {
            if let Some(request) = call.request {
                empty[request as usize] += 1;
            }
        }
        for (number, request) in self.record.requests.iter().enumerate() {
            if is_answered(request) || is_cut(request) {
                continue;
            }
            let model = self.models[request.client as usize];
            if empty[number] >= EMPTY_ANSWERS {
                continue;
            }
            if self.is_avoidable(request, model, names[model], &mut accounts) {
                verdict.avoidable += 1;
                verdict.avoidable_limited += usize::from(request.end.is_some_and(|end| end.status == 429));
            }
            self.judge_retry_after(request, model, verdict);
        }
    }

    fn is_avoidable(&self, request: &Request, model: usize, name: &str, accounts: &mut [Account]) -> bool {
        let window = self.scenario.window();
        let from = request.at + TO_REACH;
        let to = (request.at + millis(self.scenario.patience)).saturating_sub(TO_REACH);
        let slots: Vec<u64> = Account::slots(window, from, to.max(from))
            .filter(|slot| !self.is_out(name, Account::slot_start(window, *slot).max(from)))
            .collect();
        (0..self.is_able.len()).filter(|project| self.is_able[*project]).any(|project| {
            let account = &mut accounts[project * self.model_count + model];
            slots.iter().any(|slot| account.take_back(*slot, request.tokens, &self.days))
        })
    }

    fn judge_retry_after(&self, request: &Request, model: usize, verdict: &mut Verdict) {
        let Some(end) = request.end.filter(|end| matches!(end.status, 429 | 503)) else { return };
        let able = (0..self.is_able.len()).filter(|project| self.is_able[*project]);
        let mut truth: Option<Opening> = None;
        for project in able {
            let account = &self.accounts[project * self.model_count + model];
            truth = [truth, account.opens(end.at, request.tokens, &self.days)].into_iter().flatten().min();
            if truth.is_some_and(|truth| truth.at <= end.at) {
                break;
            }
        }
        if end.status == 503 && truth.is_some_and(|truth| truth.at <= end.at) {
            return; // not for want of quota
        }
        let Some(told) = end.retry_after else {
            verdict.untold += usize::from(end.status == 429);
            return;
        };
        let told = end.at.saturating_add(told.saturating_mul(1_000));
        // Whoever is told a time though there will be none is told wrong.
        let error = truth.map_or(i64::MIN, |truth| truth.error(told));
        verdict.told += 1;
        verdict.mistold += usize::from(error.unsigned_abs() > TRUE_WITHIN);
        if error.unsigned_abs() > verdict.worst_told.unsigned_abs() {
            verdict.worst_told = error;
        }
    }
}
