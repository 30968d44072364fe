"""A leaderboard as a folder of static pages that opens from disk, without a server or a network."""

from neurofit.report.site.build import SiteSummary, write_site

__all__ = ["SiteSummary", "write_site"]
