// The copy buttons of code: one listener for all there are and will be. It is here from the start, while what draws code is fetched
// later.
import {t} from '../../i18n.js';

/** Lets the copy buttons within `container` work, also those to come. */
export function copying(container) {
  container.addEventListener('click', async ({target}) => {
    if (!target.classList.contains('copy')) return;
    await navigator.clipboard.writeText(target.closest('figure').querySelector('code').textContent);
    target.textContent = t('act.copied');
    setTimeout(() => { target.textContent = t('act.copy'); }, 2000);
  });
}
