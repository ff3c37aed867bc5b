/**
 * Makes nodes of this process give space back at once: in a simulation of a few kilobytes no segment would be compacted
 * and no extent written anew otherwise.
 */
import { SLACK_SIZE } from '../../server/segment/victims.ts';
import { Segments } from '../../server/segment/segments.ts';
import { Survey } from '../../server/store/survey.ts';

/** As survey.ts has it. */
const SURVEY_SLACK_SIZE = 512 << 10;

export function makeEager(): void {
  const { diskUse, sealMostlyDead } = Segments.prototype;
  Segments.prototype.diskUse = function (this: Segments) {
    const use = diskUse.call(this);
    return { ...use, size: use.size + SLACK_SIZE };
  };
  Segments.prototype.sealMostlyDead = function (this: Segments) {
    sealMostlyDead.call(this, 0);
  };
  const { add } = Survey.prototype;
  Survey.prototype.add = function (this: Survey, extent) {
    const isFirst = this.size === 0;
    add.call(this, extent);
    if (!isFirst || this.size === 0) return;
    this.size += SURVEY_SLACK_SIZE;
    this.deadSize += SURVEY_SLACK_SIZE;
  };
}
