"""What a finished or growing run looks like to a reader: a page, a notebook block, lines of text.

Pure functions of `Tree`; nothing here runs, fetches or remembers. All text of a model or a user is escaped, and no
output holds a script or an address to load something from.
"""

from fleet_rlm.core.report.block import mimebundle
from fleet_rlm.core.report.lines import plain_lines, span_line
from fleet_rlm.core.report.page import html_page

__all__ = ["html_page", "mimebundle", "plain_lines", "span_line"]
