"""How a user's consent is asked for: through the browser on this machine, or by an address pasted by hand."""

from interpreters.browser.listener import Loopback
from interpreters.browser.opening import open_system_browser, show_on_stderr
from interpreters.browser.pasted import Pasted

__all__ = ["Loopback", "Pasted", "open_system_browser", "show_on_stderr"]
