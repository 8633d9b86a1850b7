//! What is shown by Google's clock, where the local one is known to be wrong.

use super::{Explanation, Moment, PoolView};
use crate::google_clock::Skew;

impl PoolView {
    /// The same, with every time as Google's clock shows it.
    pub(crate) fn by_google(mut self, skew: Skew) -> Self {
        if skew == Skew::NONE {
            return self;
        }
        self.clock_behind_seconds = skew.seconds();
        let projects = self.each_project.iter_mut().flat_map(|project| {
            let models = project
                .models
                .iter_mut()
                .flat_map(|model| model.rests_until.iter_mut().chain(&mut model.penalised_until));
            let keys = project.keys.iter_mut().filter_map(|key| key.set_aside.as_mut());
            let keys = keys.flat_map(|aside| std::iter::once(&mut aside.since).chain(&mut aside.next_probe));
            project.rests_until.iter_mut().chain(models).chain(keys)
        });
        let incidents = self.incidents.iter_mut().map(|incident| &mut incident.until);
        shift(std::iter::once(&mut self.at).chain(projects).chain(incidents), skew);
        self
    }
}

impl Explanation {
    /// The same, with every time as Google's clock shows it.
    pub(crate) fn by_google(mut self, skew: Skew) -> Self {
        let projects = self.projects.iter_mut().filter_map(|project| project.until.as_mut());
        shift(std::iter::once(&mut self.at).chain(&mut self.recovers).chain(projects), skew);
        self
    }
}

fn shift<'a>(moments: impl Iterator<Item = &'a mut Moment>, skew: Skew) {
    moments.for_each(|moment| moment.at = skew.google(moment.at));
}
