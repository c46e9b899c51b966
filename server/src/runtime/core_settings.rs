//! The settings of the core, from the table of all settings.

use larder_cluster::env::Settings as CoreSettings;

use crate::settings::Settings;

/// What the core is told of the settings.
#[must_use]
pub fn core_settings(settings: &Settings) -> CoreSettings {
    CoreSettings {
        replication_interval_ms: settings.replication_interval_ms,
        anti_entropy_interval_ms: settings.anti_entropy_interval_ms,
        resend_after_ms: settings.resend_after_ms,
        transfer_timeout_ms: settings.transfer_timeout_ms,
        bootstrap_partitions: settings.bootstrap_partitions as usize,
        handoff_rate: settings.handoff_rate.0,
        request_timeout_ms: settings.request_timeout_ms,
        max_clock_drift_ms: settings.max_clock_drift_ms,
        document_forget_after_ms: settings.document_forget_after.0.saturating_mul(1000),
        cache_bytes_max: settings.cache_size.0 as usize,
        value_bytes_max: settings.proto_max_bulk_len.0 as usize,
        conflicts_max: settings.conflict_journal_size as usize,
        ..CoreSettings::default()
    }
}
