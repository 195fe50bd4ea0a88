//! One `pass.json` for every system that may read it: what newer ones understand stands beside what older ones need.

use super::{Barcode, BarcodeFormat, Fields, Pass, RelevantDate};

impl Pass {
    /// Adds what makes the pass whole on every system: a QR code after barcodes that only iOS 27 draws, relevant dates
    /// under the keys of iOS 18 and of iOS 26 and the first of them under that of older ones, and the boarding tags of iOS 26
    /// under both of their names. Doing it twice changes nothing.
    pub fn complete_for_every_system(&mut self) {
        self.append_qr_fallback();
        self.relevant_dates.iter_mut().for_each(RelevantDate::spell_both_ways);
        if self.relevant_date.is_none() {
            self.relevant_date = self.relevant_dates.first().and_then(|first| first.date.clone().or(first.start_date.clone()));
        }
        self.semantics.spell_both_ways();
        self.style.fields_mut().spell_both_ways();
        if let Some(poster) = &mut self.poster_generic {
            poster.spell_both_ways();
        }
        for entry in &mut self.upcoming_pass_information {
            entry.semantics.spell_both_ways();
        }
    }

    fn append_qr_fallback(&mut self) {
        if self.barcodes.iter().any(|barcode| barcode.format.is_everywhere()) {
            return;
        }
        if let Some(first) = self.barcodes.first() {
            let alt_text = first.alt_text.clone();
            self.barcodes.push(Barcode { alt_text, ..Barcode::new(BarcodeFormat::Qr, first.message.clone()) });
        }
    }
}

impl RelevantDate {
    fn spell_both_ways(&mut self) {
        match (&self.date, &self.relevant_date) {
            (Some(date), None) => self.relevant_date = Some(date.clone()),
            (None, Some(date)) => self.date = Some(date.clone()),
            _ => {}
        }
    }
}

impl Fields {
    fn spell_both_ways(&mut self) {
        self.groups_mut().into_iter().flatten().for_each(|field| field.semantics.spell_both_ways());
    }
}
