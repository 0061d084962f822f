// What scrolls sideways can be reached and moved with the keyboard: the theme makes wide tables scroll, without that.
new MutationObserver(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) box.tabIndex = 0;
}).observe(document.documentElement, { childList: true, subtree: true });
