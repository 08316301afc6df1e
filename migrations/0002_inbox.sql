CREATE TABLE `__new_notices` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`conversation_id` text,
	`kind` text NOT NULL,
	`user_id` text,
	`session_id` text,
	`remember_until` integer,
	`tried_at` integer NOT NULL,
	FOREIGN KEY (`conversation_id`) REFERENCES `conversations`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_notices`("id", "conversation_id", "kind", "user_id", "session_id", "remember_until", "tried_at") SELECT "id", "conversation_id", "kind", "user_id", "session_id", "remember_until", "tried_at" FROM `notices`;--> statement-breakpoint
DROP TABLE `notices`;--> statement-breakpoint
ALTER TABLE `__new_notices` RENAME TO `notices`;--> statement-breakpoint
CREATE INDEX `notices_tried` ON `notices` (`tried_at`);--> statement-breakpoint
CREATE INDEX `notices_user` ON `notices` (`user_id`);--> statement-breakpoint
ALTER TABLE `users` ADD `name_key` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `users` ADD `last_name_key` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `users` ADD `show_presence` text DEFAULT 'contacts' NOT NULL;--> statement-breakpoint
ALTER TABLE `users` ADD `inbox_epoch` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX `users_name_key` ON `users` (`name_key`);--> statement-breakpoint
CREATE INDEX `users_last_name_key` ON `users` (`last_name_key`);--> statement-breakpoint
UPDATE `users` SET `name_key` = lower(`first_name` || ' ' || `last_name`), `last_name_key` = lower(`last_name`) WHERE `deleted_at` IS NULL;--> statement-breakpoint
INSERT INTO `notices` (`conversation_id`, `kind`, `tried_at`) SELECT `id`, 'members_changed', 0 FROM `conversations`;
