BEGIN TRANSACTION;
CREATE TABLE conversations (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	title TEXT NOT NULL, 
	searchable TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	updated FLOAT NOT NULL, 
	model TEXT, 
	task VARCHAR(64) NOT NULL, 
	params JSON NOT NULL, 
	active INTEGER, 
	CONSTRAINT pk_conversations PRIMARY KEY (id)
);
INSERT INTO "conversations" VALUES('24a6c102c7184c559069a9225508bd38','','Ein Titel 标题','ein titel 标题',1.79536272276363658905e+09,1.79536272278176283834e+09,'tiny-moe','chat','{"system": "Be brief."}',3);
CREATE TABLE files (
	id VARCHAR(40) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	purpose VARCHAR(64) NOT NULL, 
	created FLOAT NOT NULL, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT fk_files_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256)
);
INSERT INTO "files" VALUES('file-47faa69eb14e4cf68099c3c6e920ea04','','92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b','a.png','vision',1.79536272278572297091e+09);
CREATE TABLE keys (
	id VARCHAR(64) NOT NULL, 
	hash VARCHAR(128) NOT NULL, 
	name TEXT NOT NULL, 
	scopes JSON NOT NULL, 
	rate INTEGER, 
	created FLOAT NOT NULL, 
	revoked FLOAT, 
	CONSTRAINT pk_keys PRIMARY KEY (id), 
	CONSTRAINT uq_keys_hash UNIQUE (hash)
);
INSERT INTO "keys" VALUES('9dc1a94e97734e5e','hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh','laptop','["chat"]',60,1.79536272278718423843e+09,NULL);
CREATE TABLE ledger (
	id INTEGER NOT NULL, 
	created FLOAT NOT NULL, 
	"key" VARCHAR(64), 
	endpoint TEXT NOT NULL, 
	model TEXT NOT NULL, 
	task VARCHAR(64) NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	status VARCHAR(64) NOT NULL, 
	prompt_tokens INTEGER NOT NULL, 
	completion_tokens INTEGER NOT NULL, 
	cached_tokens INTEGER NOT NULL, 
	visual_tokens INTEGER NOT NULL, 
	queue_seconds FLOAT NOT NULL, 
	first_token_seconds FLOAT NOT NULL, 
	total_seconds FLOAT NOT NULL, 
	energy_joules FLOAT, 
	CONSTRAINT pk_ledger PRIMARY KEY (id)
);
INSERT INTO "ledger" VALUES(1,1.79536272279038500781e+09,NULL,'/v1/chat/completions','tiny-moe','chat','full','ok',7,0,0,0,0.0,0.0,0.0,NULL);
CREATE TABLE media (
	sha256 VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	media_type VARCHAR(128) NOT NULL, 
	size INTEGER NOT NULL, 
	width INTEGER, 
	height INTEGER, 
	duration FLOAT, 
	pages INTEGER, 
	name TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	seen FLOAT NOT NULL, 
	CONSTRAINT pk_media PRIMARY KEY (sha256)
);
INSERT INTO "media" VALUES('92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b','image','image/png',9,3,2,NULL,NULL,'a.png',1.79536272275527882579e+09,1.79536272275527882579e+09);
CREATE TABLE media_owners (
	sha256 VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_media_owners PRIMARY KEY (sha256, owner), 
	CONSTRAINT fk_media_owners_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256) ON DELETE CASCADE
);
INSERT INTO "media_owners" VALUES('92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b','');
CREATE TABLE message_media (
	message INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_message_media PRIMARY KEY (message, sha256), 
	CONSTRAINT fk_message_media_message FOREIGN KEY(message) REFERENCES messages (id) ON DELETE CASCADE, 
	CONSTRAINT fk_message_media_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256)
);
INSERT INTO "message_media" VALUES(1,'92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b');
CREATE TABLE messages (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	conversation VARCHAR(32) NOT NULL, 
	parent INTEGER, 
	role VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	finish_reason VARCHAR(16), 
	created FLOAT NOT NULL, 
	searchable TEXT NOT NULL, 
	text TEXT NOT NULL, 
	thinking TEXT NOT NULL, 
	content JSON NOT NULL, 
	request JSON, 
	result JSON, 
	usage JSON, 
	error TEXT, 
	error_code VARCHAR(64), 
	CONSTRAINT fk_messages_conversation FOREIGN KEY(conversation) REFERENCES conversations (id) ON DELETE CASCADE, 
	CONSTRAINT fk_messages_parent FOREIGN KEY(parent) REFERENCES messages (id)
);
INSERT INTO "messages" VALUES(1,'24a6c102c7184c559069a9225508bd38',NULL,'user','done',NULL,1.79536272276750969887e+09,'what is this?','What is this?','','[{"type": "image", "media": "92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b", "name": "a.png"}, {"type": "text", "text": "What is this?"}]',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "messages" VALUES(2,'24a6c102c7184c559069a9225508bd38',1,'assistant','done','stop',1.79536272277516293521e+09,'a ''cat''.','A ''cat''.','hm','[]','{"task": "chat"}',NULL,'{"prompt_tokens": 7}',NULL,NULL);
INSERT INTO "messages" VALUES(3,'24a6c102c7184c559069a9225508bd38',1,'assistant','running',NULL,1.79536272278176283834e+09,'','','','[]','{"task": "chat"}',NULL,NULL,NULL,NULL);
CREATE TABLE page_texts (
	sha256 VARCHAR(64) NOT NULL, 
	page INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	text TEXT NOT NULL, 
	seen FLOAT NOT NULL, 
	CONSTRAINT pk_page_texts PRIMARY KEY (sha256, page, model)
);
CREATE TABLE pieces (
	id INTEGER NOT NULL, 
	message INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	thinking TEXT NOT NULL, 
	CONSTRAINT pk_pieces PRIMARY KEY (id), 
	CONSTRAINT fk_pieces_message FOREIGN KEY(message) REFERENCES messages (id) ON DELETE CASCADE
);
INSERT INTO "pieces" VALUES(1,3,'half an ','');
INSERT INTO "pieces" VALUES(2,3,'answer','');
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	CONSTRAINT pk_schema_version PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(5);
CREATE TABLE video_indexes (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	settings JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	error TEXT NOT NULL, 
	chapters JSON, 
	created FLOAT NOT NULL, 
	CONSTRAINT pk_video_indexes PRIMARY KEY (id), 
	CONSTRAINT fk_video_indexes_sha256 FOREIGN KEY(sha256) REFERENCES media (sha256)
);
INSERT INTO "video_indexes" VALUES('5e0c1f6d2b7a4c3e9d8f7a6b5c4d3e2f','','92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b','a.mp4','{"fps": 1.0}','paused','',NULL,1795362722.79);
CREATE TABLE video_segments (
	video_index VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	start FLOAT NOT NULL, 
	"end" FLOAT NOT NULL, 
	summary TEXT, 
	events JSON, 
	CONSTRAINT pk_video_segments PRIMARY KEY (video_index, number), 
	CONSTRAINT fk_video_segments_video_index FOREIGN KEY(video_index) REFERENCES video_indexes (id) ON DELETE CASCADE
);
INSERT INTO "video_segments" VALUES('5e0c1f6d2b7a4c3e9d8f7a6b5c4d3e2f',0,0.0,60.0,'a cat',NULL);
CREATE INDEX ix_conversations_owner_updated_id ON conversations (owner, updated, id);
CREATE INDEX ix_ledger_created ON ledger (created);
CREATE INDEX ix_ledger_key ON ledger ("key");
CREATE INDEX ix_messages_conversation ON messages (conversation);
CREATE INDEX ix_messages_state ON messages (state);
CREATE INDEX ix_messages_parent ON messages (parent);
CREATE INDEX ix_files_sha256 ON files (sha256);
CREATE INDEX ix_files_owner ON files (owner);
CREATE INDEX ix_video_indexes_sha256 ON video_indexes (sha256);
CREATE INDEX ix_video_indexes_owner ON video_indexes (owner);
CREATE INDEX ix_pieces_message ON pieces (message);
CREATE INDEX ix_message_media_sha256 ON message_media (sha256);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('messages',3);
COMMIT;
