/* On a phone the sidebar lies over the page: once a page is chosen in it, it goes away. */

const OVER_THE_PAGE = "(max-width: 768px)"; // where Streamlit lays it over the page

export default function () {
  const sidebar = document.querySelector('[data-testid="stSidebar"]');
  const listening = new AbortController();
  sidebar?.addEventListener("click", (event) => {
    if (!event.target.closest('[data-testid="stPageLink"] a') || !window.matchMedia(OVER_THE_PAGE).matches) return;
    sidebar.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
  }, { signal: listening.signal });
  return () => listening.abort();
}
